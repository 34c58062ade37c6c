"""Loads of the same key that overlap share one flight, so that a popular key that expires costs its source one call."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from core.supervise import Tasks

T = TypeVar("T")


def _is_reported_to_its_callers(task: str, error: BaseException) -> None:
    """Every caller that waits gets the error; nobody else has to."""


class _Flight(Generic[T]):
    """One load under way and the callers that wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.waiting: set[asyncio.Future[T]] = set()


class Coalescer(Generic[T]):
    """Keeps nothing: once a flight has landed, well or badly, the next load starts a new one.

    A caller that is cancelled or whose time is over leaves the flight to the others; when the last one is gone, it is cancelled.
    """

    def __init__(self) -> None:
        self._tasks = Tasks(_is_reported_to_its_callers)
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def load(self, key: Hashable, loader: Callable[[], Awaitable[T]], *, within_s: float | None = None) -> T:
        """The result of `loader`, or of the flight of the same key that is already under way. Raises what the loader raises, or
        TimeoutError after `within_s`."""
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = self._tasks.spawn(self._fly(key, flight, loader), name="coalesced load")
        # A future each, and one timer on it: `shield` in `timeout` says the same at twice the price.
        waiter: asyncio.Future[T] = loop.create_future()
        flight.waiting.add(waiter)
        timer = None if within_s is None else loop.call_later(max(0.0, within_s), _expire, waiter)
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(key, flight, waiter)

    async def _fly(self, key: Hashable, flight: _Flight[T], loader: Callable[[], Awaitable[T]]) -> None:
        try:
            result = await loader()
        except BaseException as error:
            self._land(key, flight)
            for waiter in flight.waiting:
                if not waiter.done():
                    waiter.cancel() if isinstance(error, asyncio.CancelledError) else waiter.set_exception(error)
            raise
        self._land(key, flight)
        for waiter in flight.waiting:
            if not waiter.done():
                waiter.set_result(result)

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        """A new caller must not join what has ended or is being cancelled."""
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _leave(self, key: Hashable, flight: _Flight[T], waiter: asyncio.Future[T]) -> None:
        flight.waiting.discard(waiter)
        if not flight.waiting and self._flights.get(key) is flight:  # it still flies, and for nobody
            del self._flights[key]
            assert flight.task is not None
            flight.task.cancel()

    def __len__(self) -> int:
        return len(self._flights)

    async def close(self) -> None:
        """Cancel what still flies."""
        await self._tasks.close()


def _expire(waiter: asyncio.Future[T]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
