"""When to leave a dead Redis alone. Pure: time is handed in."""


class Breaker:
    """Opens at a failure; after `pause_s` one caller at a time may try, and its success closes it."""

    def __init__(self, *, pause_s: float = 1.0) -> None:
        self._pause_s = pause_s
        self._closed_again_at: float | None = None

    def may_try(self, now: float) -> bool:
        """Whether to call at `now` (seconds); when a pause is over, only the first to ask may."""
        if self._closed_again_at is None:
            return True
        if now < self._closed_again_at:
            return False
        self._closed_again_at = now + self._pause_s
        return True

    def succeeded(self) -> None:
        self._closed_again_at = None

    def failed(self, now: float) -> None:
        self._closed_again_at = now + self._pause_s
