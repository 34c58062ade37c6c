"""Which sessions are revoked: asked on every request, told by `numbered_feed`. A value in memory, bounded, without I/O."""

from collections.abc import Callable, Sequence

from core.clock import epoch_ms
from core.sessions import Revocation

MAX_ENTRIES = 100_000
_ID_CHARACTERS = 26  # of our own sessions (core.ids); the jti of a foreign token does not sort by time
Callback = Callable[[Sequence[Revocation]], None]
Covered = dict[str, tuple[str, int]]
"""Name of a session, app or device → the last session id that is revoked, and until when that has a meaning."""


class Revocations:
    """One for a process, older than any snapshot. What has lost its meaning is dropped. Where more is told than it holds, the older
    half goes and every session as old as those counts as revoked: their apps have to get a new token, and no revoked one comes
    back to life."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._max_entries = max_entries
        self._now_ms = now_ms
        self._sessions: Covered = {}
        self._apps: Covered = {}
        self._devices: Covered = {}
        self._of = {"session": self._sessions, "app": self._apps, "device": self._devices}
        self._floor, self._floor_until_ms = "", 0
        self.is_empty = True
        self._callbacks: list[Callback] = []

    def is_revoked(self, session: str, app: str = "", device: str = "") -> bool:
        """Whether the session of this id, app and device has ended. Never for a caller without a session (an API key, a
        signature)."""
        if self.is_empty or not session:
            return False
        if session in self._sessions:
            return True
        return len(session) == _ID_CHARACTERS and (
            session <= self._floor
            or (app in self._apps and session <= self._apps[app][0])
            or (device in self._devices and session <= self._devices[device][0])
        )

    def revoke(self, found: Sequence[Revocation]) -> None:
        """Take them in, in any order and any number of times; then the callbacks are told of those that were news."""
        now_ms = self._now_ms()
        news = [each for each in found if each.until_ms > now_ms and self._is_news(each)]
        self.is_empty = self.is_empty and not len(self)
        if len(self) > self._max_entries:
            self.drop_expired()
            self._shrink()
        if news:
            for callback in self._callbacks:
                callback(news)

    def on_revoked(self, callback: Callback) -> None:
        """Call it after each revocation, in the event loop: whoever holds a stream or tunnel asks `is_revoked` again, and ends
        it."""
        self._callbacks.append(callback)

    def drop_expired(self) -> None:
        """Forget what covers only tokens that have expired."""
        now_ms = self._now_ms()
        for covered in self._of.values():
            for name in [name for name, (_, until_ms) in covered.items() if until_ms <= now_ms]:
                del covered[name]
        if self._floor_until_ms <= now_ms:
            self._floor = ""
        self.is_empty = not len(self) and not self._floor

    def __len__(self) -> int:
        return len(self._sessions) + len(self._apps) + len(self._devices)

    def _is_news(self, each: Revocation) -> bool:
        covered = self._of[each.scope]
        last, until_ms = covered.get(each.name, ("", 0))
        covered[each.name] = (max(last, each.last), max(until_ms, each.until_ms))
        return each.last > last

    def _shrink(self) -> None:
        """Down to half of what it may hold, unless what had expired was enough."""
        if len(self) <= self._max_entries:
            return
        lasts = sorted(last for covered in self._of.values() for last, _ in covered.values())
        self._floor = max(self._floor, lasts[len(lasts) - self._max_entries // 2 - 1])
        for covered in self._of.values():
            for name in [name for name, (last, _) in covered.items() if last <= self._floor]:
                self._floor_until_ms = max(self._floor_until_ms, covered.pop(name)[1])
