"""What every limiter must do (core.cache), to be run unchanged against each: sub-class `LimiterConformance`."""

import asyncio
import time

import pytest

from core.cache import Limiter, Rate
from core.errors import InvalidInput


class LimiterConformance:
    """The sub-class's module has a fixture `limiter`: one that has counted nothing."""

    async def test_a_burst_passes_and_no_more(self, limiter: Limiter) -> None:
        verdicts = [await limiter.take("app", Rate(0.1, 5)) for _ in range(7)]
        assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 2
        assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0, 0]

    async def test_the_times_it_tells(self, limiter: Limiter) -> None:
        first = await limiter.take("app", Rate(0.1, 2))
        assert first.retry_after_s == 0
        assert first.reset_s == pytest.approx(10, abs=0.5)
        await limiter.take("app", Rate(0.1, 2))
        refused = await limiter.take("app", Rate(0.1, 2))
        assert refused.retry_after_s == pytest.approx(10, abs=0.5)
        assert refused.reset_s == pytest.approx(20, abs=0.5)

    async def test_it_passes_again_after_the_time_it_told(self, limiter: Limiter) -> None:
        rate = Rate(5.0, 1)
        assert (await limiter.take("app", rate)).allowed
        refused = await limiter.take("app", rate)
        assert not refused.allowed
        await asyncio.sleep(refused.retry_after_s + 0.02)
        assert (await limiter.take("app", rate)).allowed

    async def test_a_refused_request_is_not_charged(self, limiter: Limiter) -> None:
        rate = Rate(4.0, 1)
        assert (await limiter.take("app", rate)).allowed
        for _ in range(20):
            await limiter.take("app", rate)
        await asyncio.sleep(0.3)
        assert (await limiter.take("app", rate)).allowed

    async def test_keys_are_counted_apart(self, limiter: Limiter) -> None:
        assert (await limiter.take("one", Rate(0.1, 1))).allowed
        assert (await limiter.take("two", Rate(0.1, 1))).allowed
        assert not (await limiter.take("one", Rate(0.1, 1))).allowed

    async def test_overlapping_requests_are_counted_exactly(self, limiter: Limiter) -> None:
        verdicts = await asyncio.gather(*(limiter.take("app", Rate(0.01, 50)) for _ in range(200)))
        assert sum(verdict.allowed for verdict in verdicts) == 50

    async def test_the_sustained_rate(self, limiter: Limiter) -> None:
        rate, began, passed = Rate(100.0, 10), time.monotonic(), 0
        while time.monotonic() - began < 0.5:
            passed += (await limiter.take("app", rate)).allowed
            await asyncio.sleep(0.001)
        seconds = time.monotonic() - began
        assert 0.8 * (10 + 100 * seconds) <= passed <= 10 + 100 * seconds + 1

    @pytest.mark.parametrize("rate", [Rate(0, 1), Rate(-1, 1), Rate(1, 0), Rate(float("inf"), 1), Rate(float("nan"), 1)])
    async def test_a_rate_that_means_nothing_is_refused(self, limiter: Limiter, rate: Rate) -> None:
        with pytest.raises(InvalidInput, match="burst"):
            await limiter.take("app", rate)
