"""How a gateway process learns of revocations: at once by the bus, and where that is down by asking the database twice a second."""

import asyncio

import msgspec
import structlog

from core.bus import Reader
from core.errors import PlatformError
from core.sessions import AppSessions, revocation_of
from gateway.revocations import Revocations

_ANSWER_WITHIN_S = 5.0
_PAGE = 1000
_TIDY_EVERY = 120
_log = structlog.get_logger("gateway.revocations")


class RevocationFeed:
    """`catch_up` before the first request is served, then `poll` and `listen` as two tasks for ever."""

    def __init__(self, revocations: Revocations, sessions: AppSessions, *, interval_s: float = 0.5) -> None:
        self._revocations = revocations
        self._sessions = sessions
        self._interval_s = interval_s
        self._seen = 0
        self._is_down = False

    async def catch_up(self) -> None:
        """Everything new in the database. One that is down is logged once and asked again by `poll`; until it is back this process
        knows only what the bus has told it since it started."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await self._read()
        except (TimeoutError, PlatformError) as error:
            if not self._is_down:
                detail = error.detail if isinstance(error, PlatformError) else f"no answer within {_ANSWER_WITHIN_S:g} s"
                _log.warning("revocations come by the bus alone", detail=detail)
            self._is_down = True
            return
        if self._is_down:
            _log.info("revocations are read again")
        self._is_down = False

    async def _read(self) -> None:
        while True:
            found = await self._sessions.revocations(since=self._seen, limit=_PAGE)
            if found:
                self._seen = found[-1].number
                self._revocations.revoke(found)
            if len(found) < _PAGE:
                return

    async def poll(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(self._interval_s)
            await self.catch_up()
            turn += 1
            if turn % _TIDY_EVERY == 0:
                self._revocations.drop_expired()

    async def listen(self, reader: Reader) -> None:
        """`reader`: of a broadcast on `core.sessions.REVOKED_PATTERN`, channel control. Their numbers are not believed here: one
        that was overtaken on its way is still found by `poll`."""
        while True:
            delivery = await reader.next()
            try:
                self._revocations.revoke([revocation_of(delivery.envelope)])
            except msgspec.MsgspecError as error:
                _log.warning("a control message is no revocation", detail=str(error))
            await delivery.ack()
