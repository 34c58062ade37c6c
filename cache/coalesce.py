"""Loads of the same key that overlap share one flight, so that a popular key that expires costs its source one call."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from core.supervise import Tasks

T = TypeVar("T")


def _is_reported_to_its_callers(task: str, error: BaseException) -> None:
    """Every caller that waits gets the error; nobody else has to."""


class Coalescer(Generic[T]):
    """Keeps nothing: once a flight has landed, well or badly, the next load starts a new one.

    A caller that is cancelled leaves the flight to the others; when the last one is gone, the flight is cancelled.
    """

    def __init__(self) -> None:
        self._tasks = Tasks(_is_reported_to_its_callers)
        self._flights: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: dict[asyncio.Task[T], int] = {}

    async def load(self, key: Hashable, loader: Callable[[], Awaitable[T]]) -> T:
        """The result of `loader`, or of the flight of the same key that is already under way. Raises what the loader raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._tasks.spawn(self._fly(key, loader), name=f"load {key}")
            self._flights[key] = flight
        self._waiting[flight] = self._waiting.get(flight, 0) + 1
        try:
            return await asyncio.shield(flight)
        finally:
            self._leave(key, flight)

    async def _fly(self, key: Hashable, loader: Callable[[], Awaitable[T]]) -> T:
        try:
            return await loader()
        finally:
            if self._flights.get(key) is asyncio.current_task():
                del self._flights[key]

    def _leave(self, key: Hashable, flight: asyncio.Task[T]) -> None:
        self._waiting[flight] -= 1
        if self._waiting[flight]:
            return
        del self._waiting[flight]
        if not flight.done():
            if self._flights.get(key) is flight:
                del self._flights[key]  # a new caller must not join what is being cancelled
            flight.cancel()

    def __len__(self) -> int:
        return len(self._flights)

    async def close(self) -> None:
        """Cancel what still flies."""
        await self._tasks.close()
