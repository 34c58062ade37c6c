"""How a gateway process learns of facts that must reach every one (revocations of sessions, purges of cached answers): at once by
the bus, and where that is down by asking the database again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from core.bus import Envelope, Reader
from core.errors import PlatformError

_ANSWER_WITHIN_S = 5.0
_PAGE = 1000
_TIDY_EVERY = 120
_log = structlog.get_logger("gateway.feed")


class Numbered(Protocol):
    """A fact whose number grows in the order of commits."""

    @property
    def number(self) -> int: ...


_Fact = TypeVar("_Fact", bound=Numbered)
_Read = TypeVar("_Read", bound=Numbered, covariant=True)


class Source(Protocol[_Read]):
    """Reads what is kept, durable."""

    def __call__(self, *, since: int, limit: int) -> Awaitable[Sequence[_Read]]:
        """Those after number `since`, in order. Cheap. Raises Unavailable while the database is down."""
        ...


class NumberedFeed(Generic[_Fact]):
    """`catch_up` before the first request is served, then `poll` and `listen` as two tasks for ever. `take` gets facts in any order
    and more than once. `what` names them in the log."""

    def __init__(
        self,
        what: str,
        read: Source[_Fact],
        take: Callable[[Sequence[_Fact]], None],
        fact_of: Callable[[Envelope], _Fact],
        *,
        interval_s: float = 0.5,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        """`fact_of` raises msgspec.MsgspecError for a message of another kind. `tidy` is called now and then."""
        self._what = what
        self._source = read
        self._take = take
        self._fact_of = fact_of
        self._interval_s = interval_s
        self._tidy = tidy
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
                _log.warning(f"{self._what} come by the bus alone", detail=detail)
            self._is_down = True
            return
        if self._is_down:
            _log.info(f"{self._what} are read again")
        self._is_down = False

    async def _read(self) -> None:
        while True:
            found = await self._source(since=self._seen, limit=_PAGE)
            if found:
                self._seen = found[-1].number
                self._take(found)
            if len(found) < _PAGE:
                return

    async def poll(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(self._interval_s)
            await self.catch_up()
            turn += 1
            if turn % _TIDY_EVERY == 0:
                self._tidy()

    async def listen(self, reader: Reader) -> None:
        """`reader`: of a broadcast on channel control. The numbers that it brings are not believed here: one that was overtaken on
        its way is still found by `poll`."""
        while True:
            delivery = await reader.next()
            try:
                self._take([self._fact_of(delivery.envelope)])
            except msgspec.MsgspecError as error:
                _log.warning(f"a control message is none of {self._what}", detail=str(error))
            await delivery.ack()
