"""GCRA as a pure function: scripts of moments and verdicts, and its promise over any window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.gcra import check_rate, decide
from core.cache import Rate
from core.errors import InvalidInput


def _passed(rate: Rate, moments: list[float]) -> list[float]:
    arrival: float | None = None
    passed = []
    for now in moments:
        decision = decide(arrival, rate, now)
        arrival = decision.arrival_s
        if decision.verdict.allowed:
            passed.append(now)
    return passed


def test_a_script() -> None:
    rate = Rate(per_s=2.0, burst=3)
    moments = [0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.6, 1.0, 10.0, 10.0, 10.0, 10.0]
    assert _passed(rate, moments) == [0.0, 0.0, 0.0, 0.5, 1.0, 10.0, 10.0, 10.0]


def test_a_refusal_leaves_the_state_and_tells_the_wait() -> None:
    rate = Rate(per_s=1.0, burst=1)
    state = decide(None, rate, 7.0).arrival_s
    refused = decide(state, rate, 7.25)
    assert refused.arrival_s == state
    assert refused.verdict.retry_after_s == pytest.approx(0.75)
    assert decide(state, rate, 7.25 + refused.verdict.retry_after_s).verdict.allowed


_rates = st.builds(Rate, st.floats(0.01, 10_000), st.integers(1, 1_000))
_gaps = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 100)), min_size=1, max_size=300)


@given(_rates, _gaps, st.floats(0, 1e6))
def test_no_window_passes_more_than_burst_and_rate_allow(rate: Rate, gaps: list[float], start: float) -> None:
    moments, now = [], start
    for gap in gaps:
        now += gap
        moments.append(now)
    passed = _passed(rate, moments)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = rate.burst + rate.per_s * (passed[last] - passed[first])
            assert last - first + 1 <= allowed + 0.01


@given(_rates, st.integers(0, 2_000), st.floats(0, 1e6))
def test_remaining_is_what_passes_now_and_no_more(rate: Rate, used: int, now: float) -> None:
    arrival: float | None = None
    for _ in range(min(used, rate.burst - 1)):
        arrival = decide(arrival, rate, now).arrival_s
    decision = decide(arrival, rate, now)
    assert decision.verdict.allowed
    assert decision.verdict.remaining == rate.burst - 1 - min(used, rate.burst - 1)


@given(_rates, st.floats(0, 1e6), st.floats(0, 1e4))
def test_a_bucket_is_full_again_after_reset(rate: Rate, now: float, more: float) -> None:
    arrival: float | None = None
    for _ in range(rate.burst):
        decision = decide(arrival, rate, now)
        arrival = decision.arrival_s
    later = now + decision.verdict.reset_s + more
    assert decide(arrival, rate, later).verdict.remaining == rate.burst - 1


@pytest.mark.parametrize("rate", [Rate(0, 1), Rate(1, 0), Rate(float("nan"), 1)])
def test_a_rate_that_means_nothing_is_refused(rate: Rate) -> None:
    with pytest.raises(InvalidInput):
        check_rate(rate)
