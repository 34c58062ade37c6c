"""The limiter in process: exact, bounded, and against a plain model under any script."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.gcra import count_bound, decide, rate_bound
from cache.limiter_memory import MemoryLimiter
from core.cache import Bound, Charge, Held, Limiter, Rate
from tests.conformance.limiter_suite import LimiterConformance, rate

DAY_S = 86_400


@pytest.fixture
def limiter() -> Limiter:
    return MemoryLimiter()


class TestMemoryLimiter(LimiterConformance):
    pass


@dataclass
class Clock:
    """One hand for both clocks."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


RATES = {"plan": Rate(2.0, 3), "route": Rate(0.5, 2)}
BOUNDS: dict[str, Bound] = {
    **{name: rate_bound(each) for name, each in RATES.items()},
    "day": count_bound("day", 4),
    "month": count_bound("month", 6),
    "under way": count_bound("concurrent", 2),
}


@dataclass
class Model:
    """The same by `cache.gcra.decide` and plain counts, all or nothing."""

    arrivals: dict[str, float] = field(default_factory=dict)
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    under_way: int = 0

    def admits(self, names: list[str], now: float) -> bool:
        periods = {"day": int(now // DAY_S), "month": int(now // (DAY_S * 31))}  # within January and February of 1970
        decisions = {name: decide(self.arrivals.get(name), RATES[name], now) for name in names if name in RATES}
        fits = [decision.verdict.allowed for decision in decisions.values()]
        fits += [self.counts.get((name, periods[name]), 0) < BOUNDS[name].count for name in names if name in periods]
        fits += [self.under_way < 2 for name in names if name == "under way"]
        if not all(fits):
            return False
        for name in names:
            if name in decisions:
                self.arrivals[name] = decisions[name].arrival_s
            elif name in periods:
                self.counts[name, periods[name]] = self.counts.get((name, periods[name]), 0) + 1
            else:
                self.under_way += 1
        return True


_steps = st.lists(
    st.one_of(
        st.lists(st.sampled_from(sorted(BOUNDS)), min_size=1, max_size=5, unique=True),
        st.sampled_from([0.1, 0.5, 1.0, 3.0, DAY_S / 3, DAY_S * 10.0]),
        st.just("give back"),
    ),
    max_size=60,
)


@given(_steps)
def test_any_script_of_requests_agrees_with_the_model(steps: list[list[str] | float | str]) -> None:
    clock, model, held = Clock(1_000.0), Model(), list[Held]()
    limiter = MemoryLimiter(clock=clock, wall=clock)
    for step in steps:
        if isinstance(step, float):
            clock.now = min(clock.now + step, DAY_S * 58.0)
        elif isinstance(step, list):
            charges: list[Charge] = [(name, BOUNDS[name]) for name in step]
            answer = limiter.decide(charges)
            assert (answer.refused < 0) == model.admits(step, clock.now), step
            assert (answer.retry_after_s > 0) == (answer.refused >= 0)
            held += [answer.held] if answer.held else []
        elif held:
            limiter.give_back(held.pop())
            model.under_way -= 1


async def test_one_rate_alone_is_taken_at_once() -> None:
    limiter = MemoryLimiter(clock=lambda: 0.0)
    verdicts = [limiter.take("token:10.0.0.1", Rate(1.0, 2)) for _ in range(3)]
    assert [(each.allowed, each.remaining, each.retry_after_s) for each in verdicts] == [
        (True, 1, 0),
        (True, 0, 0),
        (False, 0, 1.0),
    ]


async def test_keys_whose_bucket_is_full_again_are_forgotten() -> None:
    clock = Clock()
    limiter = MemoryLimiter(clock=clock)
    for number in range(1_000):
        limiter.decide([(f"ip {number}", rate(10.0, 5))])
    assert len(limiter) == 1_000
    clock.now = 10.0
    for number in range(1_000, 1_600):
        limiter.decide([(f"ip {number}", rate(0.01, 10))])
    assert len(limiter) <= 601


@pytest.mark.parametrize("bound", [rate(0.001, 5), count_bound("day", 5), count_bound("month", 5)])
async def test_the_table_is_bounded_and_a_heavy_key_outlives_a_flood(bound: Bound) -> None:
    limiter = MemoryLimiter(max_keys=100, clock=lambda: 0.0, wall=lambda: 0.0)
    for _ in range(5):
        assert limiter.decide([("heavy", bound)]).refused < 0
    for number in range(10_000):
        limiter.decide([(f"ip {number}", bound)])
        assert len(limiter) <= 100
    assert limiter.decide([("heavy", bound)]).refused == 0


def test_counts_are_taken_up_by_the_next_process_but_not_those_of_yesterday() -> None:
    clock = Clock(DAY_S * 3.0)
    first = MemoryLimiter(wall=clock)
    day, month = ("d", count_bound("day", 3)), ("m", count_bound("month", 10))
    for _ in range(3):
        assert first.decide([day, month]).refused < 0
    second = MemoryLimiter(wall=clock)
    second.restore(first.counts())
    assert second.decide([day, month]).refused == 0
    clock.now += DAY_S
    third = MemoryLimiter(wall=clock)
    third.restore(first.counts())
    answer = third.decide([day, month])
    assert (answer.refused, [left for left, _ in answer.left]) == (-1, [2, 6])


def test_a_clock_that_runs_back_gives_no_fresh_quota() -> None:
    clock = Clock(DAY_S * 3.0)
    limiter = MemoryLimiter(wall=clock)
    charge = ("d", count_bound("day", 1))
    assert limiter.decide([charge]).refused < 0
    clock.now -= 3600
    assert limiter.decide([charge]).refused == 0
