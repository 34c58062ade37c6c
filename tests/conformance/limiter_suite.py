"""What every limiter must do (core.cache), to be run unchanged against each: sub-class `LimiterConformance`."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cache.gcra import count_bound, rate_bound
from core.cache import Answer, Bound, Charge, Limiter, Rate


async def decided(limiter: Limiter, *charges: Charge) -> Answer:
    """The answer, waited for where it has to be."""
    answer = limiter.decide(charges)
    if isinstance(answer, Answer):
        return answer
    got: list[Answer] = []
    answer.then = got.append
    await answer.future
    return got[0]


async def passed(limiter: Limiter, charges: Sequence[Charge], times: int) -> int:
    """How many of so many equal requests, one after the other, were admitted."""
    return sum([(await decided(limiter, *charges)).refused < 0 for _ in range(times)])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- a limiter has no event for it
            await asyncio.sleep(0.02)


async def until_admitted(limiter: Limiter, *charges: Charge, within_s: float = 60.0) -> None:
    """Ask until it passes, which costs nothing before: who is refused is not charged. A synced count is late by a round trip."""
    async with asyncio.timeout(within_s):
        while (await decided(limiter, *charges)).refused >= 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Ideal:
    """A bucket without error, asked in the same moments: a busy machine asks too seldom to use up a rate."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst, self._left = per_s, burst, burst
        self._at = time.monotonic()
        self.admitted = 0

    def ask(self, times: int = 1) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        taken = min(times, int(self._left))
        self._left -= taken
        self.admitted += taken


def rate(per_s: float, burst: int) -> Bound:
    return rate_bound(Rate(per_s, burst))


class LimiterConformance:
    """The sub-class's module has a fixture `limiter`: one that has counted nothing."""

    async def test_a_burst_passes_and_no_more(self, limiter: Limiter) -> None:
        bound = rate(0.1, 5)
        answers = [await decided(limiter, ("app", bound)) for _ in range(7)]
        assert [answer.refused for answer in answers] == [-1] * 5 + [0] * 2
        assert [answer.left[0][0] for answer in answers] == [4, 3, 2, 1, 0, 0, 0]

    async def test_the_times_it_tells(self, limiter: Limiter) -> None:
        bound, began = rate(0.1, 2), time.monotonic()
        first = await decided(limiter, ("app", bound))
        assert first.retry_after_s == 0
        assert first.left[0][1] == pytest.approx(10, abs=0.5)
        await decided(limiter, ("app", bound))
        refused = await decided(limiter, ("app", bound))
        slack_s = 0.5 + time.monotonic() - began
        assert refused.retry_after_s == pytest.approx(10, abs=slack_s)
        assert refused.left[0][1] == pytest.approx(20, abs=slack_s)

    async def test_it_passes_again_after_the_time_it_told(self, limiter: Limiter) -> None:
        bound = rate(0.5, 1)
        assert (await decided(limiter, ("app", bound))).refused < 0
        refused = await decided(limiter, ("app", bound))
        assert refused.refused == 0
        await asyncio.sleep(refused.retry_after_s)
        await until_admitted(limiter, ("app", bound))

    async def test_a_refused_request_is_not_charged(self, limiter: Limiter) -> None:
        bound, began = rate(4.0, 1), time.monotonic()
        admitted = await passed(limiter, [("app", bound)], 401)
        assert 1 <= admitted <= 1 + 4.0 * (time.monotonic() - began) + 0.01
        await until_admitted(limiter, ("app", bound), within_s=20)  # had the others been charged: a hundred seconds

    async def test_keys_are_counted_apart(self, limiter: Limiter) -> None:
        bound = rate(0.1, 1)
        assert (await decided(limiter, ("one", bound))).refused < 0
        assert (await decided(limiter, ("two", bound))).refused < 0
        assert (await decided(limiter, ("one", bound))).refused == 0

    async def test_overlapping_requests_are_counted_exactly(self, limiter: Limiter) -> None:
        bound = rate(0.01, 50)
        answers = await asyncio.gather(*(decided(limiter, ("app", bound)) for _ in range(200)))
        assert sum(answer.refused < 0 for answer in answers) == 50

    async def test_the_sustained_rate(self, limiter: Limiter) -> None:
        bound, began, count, ideal = rate(100.0, 10), time.monotonic(), 0, Ideal(100.0, 10)
        while time.monotonic() - began < 0.5:
            ideal.ask()
            count += (await decided(limiter, ("app", bound))).refused < 0
            await asyncio.sleep(0.001)
        seconds = time.monotonic() - began
        assert 0.8 * ideal.admitted <= count <= 10 + 100 * seconds + 1

    async def test_a_large_burst_is_counted_to_the_last(self, limiter: Limiter) -> None:
        bound = rate(7.0e-3, 1_000)
        assert await passed(limiter, [("app", bound)], 1_001) == 1_000

    @pytest.mark.parametrize("refusing", ["day", "month", "concurrent"])
    async def test_what_one_bound_refuses_is_charged_to_none(self, limiter: Limiter, refusing: str) -> None:
        other, narrow = ("r", rate(0.01, 10)), ("n", count_bound(refusing, 3))
        answers = [await decided(limiter, other, narrow) for _ in range(6)]
        assert [answer.refused for answer in answers] == [-1, -1, -1, 1, 1, 1]
        assert answers[3].left[0][0] == 7  # told as it is: nothing was taken of it
        assert (await decided(limiter, other)).left[0][0] == 6

    async def test_the_first_that_refuses_is_named_and_the_longest_wait_is_told(self, limiter: Limiter) -> None:
        fast, slow, began = ("fast", rate(0.2, 1)), ("slow", rate(0.1, 1)), time.monotonic()
        await decided(limiter, fast, slow)
        refused = await decided(limiter, fast, slow)
        assert refused.refused == 0
        assert refused.retry_after_s == pytest.approx(10, abs=0.5 + time.monotonic() - began)

    async def test_places_under_way_are_given_back_once(self, limiter: Limiter) -> None:
        charge = ("c", count_bound("concurrent", 2))
        first, second, third = [await decided(limiter, charge) for _ in range(3)]
        assert (first.refused, second.refused, third.refused) == (-1, -1, 0)
        assert third.held is None
        assert first.held is not None
        first.held.owner.give_back(first.held)
        assert await passed(limiter, [charge], 3) == 1

    async def test_quotas_end_with_the_day_and_the_month_in_utc(self, limiter: Limiter) -> None:
        answer = await decided(limiter, ("d", count_bound("day", 5)), ("m", count_bound("month", 9)))
        now = datetime.now(UTC)
        day = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        month = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        assert [left for left, _ in answer.left] == [4, 8]
        told = [reset_s for _, reset_s in answer.left]
        assert told == pytest.approx([(day - now).total_seconds(), (month - now).total_seconds()], abs=5)

    async def test_a_look_tells_what_is_left_and_charges_nothing(self, limiter: Limiter) -> None:
        charges = [
            ("r", rate(0.01, 5)),
            ("d", count_bound("day", 7)),
            ("m", count_bound("month", 9)),
            ("c", count_bound("concurrent", 3)),
        ]
        full = await limiter.look(charges)
        assert [left for left, _ in full] == [5, 7, 9, 3]
        assert (full[0][1], full[3][1]) == (0, 0)
        answer = await decided(limiter, *charges)
        for _ in range(3):
            looked = await limiter.look(charges)
            assert [left for left, _ in looked] == [4, 6, 8, 2]
            for told, (_, reset_s) in zip(looked, answer.left, strict=True):
                assert told[1] == pytest.approx(reset_s, abs=0.5)
        assert await passed(limiter, charges, 5) == 2, "places are what is shortest"
        assert [left for left, _ in await limiter.look(charges)] == [2, 4, 6, 0]
        assert answer.held is not None
        answer.held.owner.give_back(answer.held)
        assert (await limiter.look(charges[3:]))[0] == (1, 0)

    async def test_a_look_at_what_is_used_up_refuses_nothing(self, limiter: Limiter) -> None:
        charges = [("r", rate(0.01, 2)), ("d", count_bound("day", 2))]
        assert await passed(limiter, charges, 3) == 2
        (rate_left, _), (day_left, ends_s) = await limiter.look(charges)
        assert (rate_left, day_left) == (0, 0)
        assert 0 < ends_s <= 86_400
        assert await limiter.look([]) == ()

    async def test_many_look_at_once(self, limiter: Limiter) -> None:
        charges = [("d", count_bound("day", 50))]
        await passed(limiter, charges, 10)
        looked = await asyncio.gather(*(limiter.look(charges) for _ in range(20)))
        assert {left[0][0] for left in looked} == {40}
        assert await passed(limiter, charges, 41) == 40
