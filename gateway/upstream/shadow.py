"""Which requests are copied to a shadow upstream. The copy itself is made by `gateway.http1`; nobody waits for its answer."""

from config.upstreams import Shadow
from gateway.stage import Request


class Shadowing:
    """`wants_copy` takes a place among the copies under way; `copied` gives it back."""

    def __init__(self, declared: Shadow) -> None:
        self.upstream = declared.upstream
        self.active = 0
        self.left_out = 0  # that should have been copied, but were too many at once
        self._declared = declared
        self._step = declared.share / 100
        self._due = 0.0

    def wants_copy(self, request: Request) -> bool:
        """An even share: of every 100 requests exactly `share` are wanted. No copy of an upgrade, of a body that is too long, or of
        one whose length is not known."""
        if request.body_length > self._declared.max_bytes or request.body_length < 0 or request.upgrade:
            return False
        self._due += self._step
        if self._due < 1 - 1e-9:
            return False
        self._due -= 1
        if self.active >= self._declared.concurrent:
            self.left_out += 1
            return False
        self.active += 1
        return True

    def copied(self) -> None:
        """The copy has its answer, or failed."""
        self.active -= 1
