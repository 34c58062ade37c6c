"""Bulkhead, time limit and breaker in front of a connection whose answers the test decides."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import cast

import pytest

from adapters.guarded import Guarded, guarded
from config.model import Guard
from core.adapter import Backend, Lookup, Source, Writer
from core.clock import SystemClock
from core.errors import DeadlineExceeded, NotConnected, NotFound, PlatformError, Unavailable
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Value

DATASET = Dataset(object="t", key=("id",), fields={"id": "integer"})


class Shelf:
    """A source with lookup alone: `gate` holds calls back, `error` makes them fail."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: PlatformError | None = None
        self.running = 0
        self.most = 0
        self.calls = 0
        self.is_closed = False

    async def check(self) -> None:
        await self._work()

    async def close(self) -> None:
        self.is_closed = True

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        await self._work()
        return Rows(("id",), [[key["id"]]])

    async def _work(self) -> None:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1


class Stream(Shelf):
    """A source with read alone: three batches, each behind the gate."""

    fetch = None  # type: ignore[assignment]

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncGenerator[Transaction, None]:
        self.is_closed = False
        try:
            for number in range(3):
                await self._work()
                yield Transaction(Rows(("id",), [[number]]), {"key": [number]}, 1)
        finally:
            self.is_closed = True

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        return 3


class Clock(SystemClock):
    """Monotonic time that stands still until the test moves it."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def monotonic(self) -> float:
        return self.time_s


def fetching(shelf: Shelf, clock: Clock | None = None, **guard: float) -> Lookup:
    wrapped = guarded(shelf, Guard(**guard), clock or Clock(), "sales")  # type: ignore[arg-type]
    return cast(Lookup, wrapped)


async def fetch(source: Lookup, number: int = 1) -> Rows | None:
    return await source.fetch(DATASET, {"id": number})


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_shows_the_abilities_of_the_inner_connection_and_no_other() -> None:
    wrapped: object = guarded(Shelf(), Guard(), Clock(), "sales")
    assert isinstance(wrapped, Lookup)
    assert not isinstance(wrapped, Source | Writer | Backend)


async def test_at_most_so_many_calls_run_at_once_and_all_are_answered() -> None:
    shelf = Shelf()
    source = fetching(shelf, concurrency=2)
    found = await asyncio.gather(*(fetch(source, number) for number in range(8)))
    assert [rows.rows[0][0] for rows in found if rows] == list(range(8))
    assert shelf.most == 2


async def test_past_four_waiting_per_place_a_call_is_refused_at_once() -> None:
    shelf = Shelf()
    shelf.gate.clear()
    source = fetching(shelf, concurrency=2)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(fetch(source, number))
        await settle()
        with pytest.raises(Unavailable, match=r"sales.*2 places are taken and 8 calls wait") as caught:
            await fetch(source)
        assert caught.value.specific_code == "bulkhead_full"
        shelf.gate.set()


async def test_a_place_that_never_comes_free_is_bulkhead_full_not_a_failure_of_the_source() -> None:
    shelf = Shelf()
    source = fetching(shelf, concurrency=1, timeout_s=0.05, failures=1)
    shelf.gate.clear()
    first = asyncio.ensure_future(fetch(source))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable) as caught:
        await fetch(source)  # given the place at the moment its own time ends, or refused: never run
    assert caught.value.specific_code in ("bulkhead_full", "breaker_open")
    with pytest.raises(DeadlineExceeded):
        await first


async def test_a_call_that_takes_too_long_is_ended_and_counts_as_a_failure() -> None:
    shelf = Shelf()
    shelf.gate.clear()
    source = fetching(shelf, timeout_s=0.02, failures=2)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded, match=r"sales: no answer within 0\.02 s"):
            await fetch(source)
    assert shelf.running == 0
    assert cast(Guarded, source).breaker_state() == "open"


async def test_the_open_breaker_refuses_without_asking_then_tries_once_and_closes() -> None:
    shelf, clock = Shelf(), Clock()
    source = fetching(shelf, clock, failures=3, open_s=10)
    shelf.error = NotConnected("connection refused at 10.0.0.1:1433")
    for _ in range(3):
        with pytest.raises(NotConnected):
            await fetch(source)
    clock.time_s += 4
    with pytest.raises(Unavailable, match=r"opened 4\.0 s ago and tries again in 6\.0 s; last cause: connection refused") as caught:
        await fetch(source)
    assert caught.value.specific_code == "breaker_open"
    assert shelf.calls == 3
    clock.time_s += 6
    shelf.error = None
    assert await fetch(source) is not None
    assert cast(Guarded, source).breaker_state() == "closed"


async def test_what_the_caller_did_wrong_does_not_open_the_breaker() -> None:
    shelf = Shelf()
    source = fetching(shelf, failures=1)
    shelf.error = NotFound("no such table")
    for _ in range(3):
        with pytest.raises(NotFound):
            await fetch(source)
    assert cast(Guarded, source).breaker_state() == "closed"


async def test_a_cancelled_call_gives_its_place_back_and_blames_nobody() -> None:
    shelf = Shelf()
    shelf.gate.clear()
    source = fetching(shelf, concurrency=1, failures=1)
    task = asyncio.ensure_future(fetch(source))
    await settle()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    shelf.gate.set()
    assert await fetch(source) is not None


async def test_a_stream_keeps_one_place_and_gives_it_back_when_closed_early() -> None:
    stream = Stream()
    source = cast(Source, guarded(stream, Guard(concurrency=1, timeout_s=0.05), Clock(), "sales"))
    async with aclosing(cast(AsyncGenerator[Transaction, None], source.read(DATASET, None, batch_rows=1))) as batches:
        await anext(batches)
        await asyncio.sleep(0.1)  # the caller's own time between batches is not limited
        with pytest.raises(Unavailable):
            await source.estimate(DATASET, None)
        await anext(batches)
    assert stream.is_closed
    assert await source.estimate(DATASET, None) == 3
    taken = [batch.cursor async for batch in source.read(DATASET, None, batch_rows=1)]
    assert taken == [{"key": [0]}, {"key": [1]}, {"key": [2]}]


async def test_a_batch_that_takes_too_long_ends_the_stream() -> None:
    stream = Stream()
    source = cast(Source, guarded(stream, Guard(timeout_s=0.03, failures=1), Clock(), "sales"))
    batches = cast(AsyncGenerator[Transaction, None], source.read(DATASET, None, batch_rows=1))
    await anext(batches)
    stream.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await anext(batches)
    assert stream.is_closed
    assert cast(Guarded, source).breaker_state() == "open"


async def test_close_reaches_the_inner_connection() -> None:
    shelf = Shelf()
    await guarded(shelf, Guard(), Clock(), "sales").close()
    assert shelf.is_closed
