"""The real store of sessions, whose database can be taken away and given back."""

from collections.abc import Sequence

from core.errors import Unavailable
from core.sessions import AppSession, Revocation
from registry.app_sessions import SqlAppSessions


class Interrupted(SqlAppSessions):
    """Down until it is switched on."""

    is_down = True

    async def add(self, sessions: Sequence[AppSession]) -> None:
        self._check()
        await super().add(sessions)

    async def revoke(self, revocation: Revocation) -> Revocation:
        self._check()
        return await super().revoke(revocation)

    async def revocations(self, *, since: int, limit: int = 1000) -> Sequence[Revocation]:
        self._check()
        return await super().revocations(since=since, limit=limit)

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("the database was taken away")
