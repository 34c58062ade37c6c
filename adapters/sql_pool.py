"""Blocking DB-API connections for an event loop: each has a thread of its own, so that none is ever shared by two at once.

Knows no driver: `connect` makes a connection, and everything that runs in a thread raises the errors of core only.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from core.errors import Forbidden, InvalidInput, NotConnected, NotFound, Unavailable

CONNECTION_LOST = "connection_lost"
"""Code of the Unavailable that says: the connection broke. On one that had been idle the pool tries once more with a new one."""

CLOSE_S = 5.0
"""How long `close` waits for threads that are still in the driver."""

_STATEMENT_ERRORS = (InvalidInput, NotFound, Forbidden)
T = TypeVar("T")


class Raw(Protocol):
    """What is needed of a connection here."""

    def interrupt(self) -> None:
        """End the statement under way. Called from another thread than the rest; must not raise."""
        ...

    def close(self) -> None: ...


class Link:
    """One connection and its thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sql")
        self._raw: Raw | None = None
        self._last: Future[Any] | None = None
        self._closing: Future[None] | None = None
        self.was_idle = False

    @property
    def is_discarded(self) -> bool:
        return self._closing is not None

    async def open(self, connect: Callable[[], Raw]) -> None:
        def work() -> None:
            self._raw = connect()

        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def submit(self, work: Callable[[Any], T]) -> "asyncio.Future[T]":
        """Run `work(connection)` in the thread, after what was submitted before."""
        if self.is_discarded:
            raise NotConnected("the connection was closed")
        self._last = self._thread.submit(work, self._raw)
        future = asyncio.wrap_future(self._last)
        future.add_done_callback(_retrieve)
        return future

    def discard(self) -> "Future[None]":
        """End the statement under way, then close the connection and its thread. Does not wait. Idempotent."""
        if self._closing is None:
            if self._raw is not None and self._last is not None and not self._last.done():
                # In a thread: Microsoft's driver waits until the server has heard of it.
                threading.Thread(target=self._raw.interrupt, name="sql_interrupt", daemon=True).start()
            self._closing = self._thread.submit(self._close)
            self._thread.shutdown(wait=False)
        return self._closing

    def _close(self) -> None:
        if self._raw is not None:
            self._raw.close()


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """A failure in a batch that nobody waits for any more is no news."""
    if not future.cancelled():
        future.exception()


class Pool:
    """Links, made when needed, at most `size`; further calls wait. Those that broke or were interrupted are not used again."""

    def __init__(self, connect: Callable[[], Raw], *, size: int) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(size)
        self._idle: list[Link] = []
        self._leased: set[Link] = set()
        self._is_closed = False

    async def run(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)`, which may run twice: once more where an idle connection turns out to be broken."""
        async with self.started(work) as (_, result):
            return result

    @asynccontextmanager
    async def started(self, work: Callable[[Any], T]) -> AsyncIterator[tuple[Link, T]]:
        """A link for more than one step, with the result of the first. It is discarded where the block does not end well."""
        async with self._places:
            link, result = await self._first(work)
            try:
                yield link, result
            except _STATEMENT_ERRORS:
                self._give_back(link)
                raise
            except BaseException:
                self._drop(link)
                raise
            self._give_back(link)

    async def close(self) -> None:
        """Idempotent. Calls under way fail."""
        self._is_closed = True
        closing = [link.discard() for link in (*self._idle, *self._leased)]
        self._idle.clear()
        if closing:
            done, _ = await asyncio.wait([asyncio.wrap_future(future) for future in closing], timeout=CLOSE_S)
            for future in done:
                future.exception()  # a connection that can't even be closed is gone as well

    async def _first(self, work: Callable[[Any], T]) -> tuple[Link, T]:
        link = await self._lease()
        try:
            return link, await link.submit(work)
        except _STATEMENT_ERRORS:
            self._give_back(link)
            raise
        except BaseException as error:
            self._drop(link)
            if not (link.was_idle and isinstance(error, Unavailable) and error.specific_code == CONNECTION_LOST):
                raise
        self._forget_idle()  # the server went away under all of them
        return await self._first(work)

    async def _lease(self) -> Link:
        if self._is_closed:
            raise NotConnected("the connection was closed")
        if self._idle:
            link = self._idle.pop()
            link.was_idle = True
            self._leased.add(link)
            return link
        link = Link()
        self._leased.add(link)
        try:
            await link.open(self._connect)
        except BaseException:
            self._drop(link)
            raise
        return link

    def _give_back(self, link: Link) -> None:
        self._leased.discard(link)
        if not link.is_discarded:
            self._idle.append(link)

    def _drop(self, link: Link) -> None:
        self._leased.discard(link)
        link.discard()

    def _forget_idle(self) -> None:
        for link in self._idle:
            link.discard()
        self._idle.clear()
