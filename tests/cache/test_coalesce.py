"""Coalescing: one flight for callers that overlap, and what cancelling and failing do to the others."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cache.coalesce import Coalescer
from core.errors import Unavailable


class _Source:
    """Counts its calls; answers when it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def load(self) -> int:
        self.calls += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.calls


@pytest.fixture
async def coalescer() -> AsyncIterator[Coalescer[int]]:
    coalescer: Coalescer[int] = Coalescer()
    yield coalescer
    await coalescer.close()
    assert len(coalescer) == 0


@pytest.mark.req("0.02")
async def test_callers_that_overlap_share_one_flight(coalescer: Coalescer[int]) -> None:
    source = _Source()
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(coalescer.load("k", source.load)) for _ in range(50)]
        other = group.create_task(coalescer.load("other", source.load))
        await asyncio.sleep(0.01)
        source.gate.set()
    assert {caller.result() for caller in callers} == {2}  # both had begun when the gate opened
    assert other.result() == 2
    assert source.calls == 2


async def test_nothing_is_kept(coalescer: Coalescer[int]) -> None:
    source = _Source()
    source.gate.set()
    assert [await coalescer.load("k", source.load) for _ in range(3)] == [1, 2, 3]


async def test_a_cancelled_first_caller_leaves_the_flight_to_the_others(coalescer: Coalescer[int]) -> None:
    source = _Source()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(coalescer.load("k", source.load))
        second = group.create_task(coalescer.load("k", source.load))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        source.gate.set()
    assert first.cancelled()
    assert second.result() == 1
    assert source.cancelled == 0


async def test_when_the_last_caller_is_gone_the_flight_is_cancelled(coalescer: Coalescer[int]) -> None:
    source = _Source()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await coalescer.load("k", source.load)
    await asyncio.sleep(0.01)
    assert source.cancelled == 1
    source.gate.set()
    assert await coalescer.load("k", source.load) == 2


async def test_whose_time_is_over_leaves_and_the_others_get_their_answer(coalescer: Coalescer[int]) -> None:
    source = _Source()
    patient = asyncio.create_task(coalescer.load("k", source.load, within_s=30))
    with pytest.raises(TimeoutError):
        await coalescer.load("k", source.load, within_s=0.01)
    with pytest.raises(TimeoutError):
        await coalescer.load("k", source.load, within_s=-1)
    source.gate.set()
    assert await patient == 1
    assert (source.calls, source.cancelled) == (1, 0)


async def test_the_last_whose_time_is_over_ends_the_flight(coalescer: Coalescer[int]) -> None:
    source = _Source()
    with pytest.raises(TimeoutError):
        await coalescer.load("k", source.load, within_s=0.01)
    assert len(coalescer) == 0
    await asyncio.sleep(0.01)
    assert source.cancelled == 1


async def test_a_failure_is_shared_and_not_kept(coalescer: Coalescer[int]) -> None:
    source = _Source()
    source.error = Unavailable("the source is away")
    source.gate.set()
    results = await asyncio.gather(*(coalescer.load("k", source.load) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    assert source.calls == 1
    source.error = None
    assert await coalescer.load("k", source.load) == 2
