"""Protects a source from us: at most so many calls at once, each bounded in time, none while its breaker is open.

Wraps a connection of any abilities and shows exactly those abilities again. Neighbours: `core/guard.py` decides, this file waits.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import Any, cast

from config.model import Guard
from core.adapter import Backend, Connection, Describes, Lookup, Source, Writer
from core.clock import Clock
from core.errors import DeadlineExceeded, NotConnected, PlatformError, Unavailable
from core.guard import Breaker, BreakerState, Refusal
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, SourceColumn, Value

WAITING_PER_PLACE = 4
"""How many calls may wait for each place of the bulkhead; one more is refused at once."""

_FAILURES = (NotConnected, Unavailable, DeadlineExceeded)


class Guarded:
    """What all abilities share. Made by `guarded`, which adds the methods of the abilities that the inner connection has."""

    def __init__(self, connection: Connection, guard: Guard, clock: Clock, source_name: str) -> None:
        self._inner: Any = connection
        self._guard = guard
        self._clock = clock
        self._name = source_name
        self._breaker = Breaker(failures=guard.failures, open_s=guard.open_s)
        self._places = asyncio.Semaphore(guard.concurrency)
        self._waiting = 0

    async def check(self) -> None:
        async with self._call():
            await self._inner.check()

    async def close(self) -> None:
        await self._inner.close()

    def breaker_state(self) -> BreakerState:
        """For the console and the metrics."""
        return self._breaker.state(self._clock.monotonic())

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """One call: a place, the breaker's leave, a bounded time."""
        async with self._place():
            admitted_at = self._admit()
            async with self._watched(admitted_at):
                yield

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        self._refuse(self._breaker.refusal(self._clock.monotonic()))
        if self._places.locked() and self._waiting >= WAITING_PER_PLACE * self._guard.concurrency:
            raise self._full(f"{self._waiting} calls wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._guard.timeout_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise self._full(f"none became free within {self._guard.timeout_s:g} s") from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _full(self, why: str) -> Unavailable:
        places = self._guard.concurrency
        return Unavailable(f"source {self._name}: all {places} places are taken and {why}", code="bulkhead_full")

    def _admit(self) -> float:
        now = self._clock.monotonic()
        self._refuse(self._breaker.admit(now))  # it may have opened while this call waited for its place
        return now

    def _refuse(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            raise Unavailable(
                f"source {self._name}: not asked, its breaker opened {refusal.for_s:.1f} s ago"
                f" and tries again in {refusal.retry_after_s:.1f} s; last cause: {refusal.cause}",
                code="breaker_open",
            )

    @asynccontextmanager
    async def _watched(self, admitted_at: float) -> AsyncIterator[None]:
        """Bound the work in time and tell the breaker how it ended."""
        try:
            async with asyncio.timeout(self._guard.timeout_s) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                self._breaker.abandoned(admitted_at)
                raise
            cause = f"no answer within {self._guard.timeout_s:g} s"
            self._breaker.failed(admitted_at, self._clock.monotonic(), cause)
            raise DeadlineExceeded(f"source {self._name}: {cause}") from error
        except _FAILURES as error:
            self._breaker.failed(admitted_at, self._clock.monotonic(), error.detail)
            raise
        except PlatformError:
            self._breaker.succeeded(admitted_at)  # the source answered; what is wrong is the caller's
            raise
        except BaseException:  # given up by the caller, or a fault of ours: says nothing about the source
            self._breaker.abandoned(admitted_at)
            raise
        else:
            self._breaker.succeeded(admitted_at)


class _Reading(Guarded):
    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncGenerator[Transaction, None]:
        """One place for the whole stream; the time limit holds for each batch, not for what the caller does between them."""
        async with self._place():
            admitted_at = self._admit()
            async with aclosing(cast(Any, self._inner.read(dataset, cursor, batch_rows=batch_rows))) as stream:
                while True:
                    async with self._watched(admitted_at):
                        transaction: Transaction | None = await anext(stream, None)
                    if transaction is None:
                        return
                    yield transaction

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        async with self._call():
            return cast("int | None", await self._inner.estimate(dataset, cursor))


class _Describing(Guarded):
    async def describe(self, dataset: Dataset) -> list[SourceColumn]:
        async with self._call():
            return cast("list[SourceColumn]", await self._inner.describe(dataset))


class _LookingUp(Guarded):
    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        async with self._call():
            return cast("Rows | None", await self._inner.fetch(dataset, key))


class _Writing(Guarded):
    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        async with self._call():
            await self._inner.upsert(dataset, key, changes)

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        async with self._call():
            await self._inner.delete(dataset, key)


class _Calling(Guarded):
    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        async with self._call():
            return await self._inner.call(operation, arguments)


_ABILITIES: tuple[tuple[type, type[Guarded]], ...] = (
    (Source, _Reading),
    (Describes, _Describing),
    (Lookup, _LookingUp),
    (Writer, _Writing),
    (Backend, _Calling),
)


@cache
def _shape(parts: tuple[type[Guarded], ...]) -> type[Guarded]:
    return type("Guarded", parts or (Guarded,), {})


def guarded(connection: Connection, guard: Guard, clock: Clock, source_name: str) -> Guarded:
    """The connection behind its guard; `isinstance` with the ability protocols answers as it did for the bare one.

    Every method may now also raise Unavailable with code `bulkhead_full` or `breaker_open`, and DeadlineExceeded after
    `guard.timeout_s`. A stream keeps its place until it ends or is closed: `concurrency` must leave room for lookups beside it.
    """
    parts = tuple(part for protocol, part in _ABILITIES if isinstance(connection, protocol))
    return _shape(parts)(connection, guard, clock, source_name)
