"""The adaptive limit under scripts of latencies: a simulated upstream that serves so many at once and queues the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.upstreams import Adaptive
from gateway.upstream.adaptive import AdaptiveLimit

SETTINGS = Adaptive(initial=20, min_limit=4, max_limit=200)


def _loaded(limit: AdaptiveLimit, places: int, service_s: float, rounds: int, *, callers: int = 10_000) -> None:
    """As many under way as are let in; beyond `places` each waits its turn."""
    for _ in range(rounds):
        in_flight = 0
        while in_flight < callers and limit.admit(in_flight):
            in_flight += 1
        latency = service_s * max(1.0, in_flight / places)
        for _ in range(in_flight):
            limit.sample(latency, in_flight, True)


def test_it_grows_while_latency_stays_and_stops_where_a_queue_begins() -> None:
    limit = AdaptiveLimit(SETTINGS)
    for _ in range(10):  # a queue never passes for the normal state, however long it is there
        _loaded(limit, places=60, service_s=0.01, rounds=300)
        assert 50 <= limit.limit <= 120


def test_latency_that_doubles_shrinks_it_and_it_recovers() -> None:
    limit = AdaptiveLimit(SETTINGS)
    _loaded(limit, places=100, service_s=0.01, rounds=60)
    before = limit.limit
    _loaded(limit, places=25, service_s=0.02, rounds=40)  # half as fast, and a quarter of the places
    shrunk = limit.limit
    assert shrunk < before * 0.6
    _loaded(limit, places=100, service_s=0.01, rounds=150)
    assert limit.limit > before * 0.8


def test_an_upstream_that_is_slower_for_good_is_used_to_the_full_again() -> None:
    limit = AdaptiveLimit(SETTINGS)
    _loaded(limit, places=60, service_s=0.01, rounds=200)
    _loaded(limit, places=60, service_s=0.03, rounds=3_000)
    assert limit.limit >= 50


def test_callers_that_are_few_teach_it_nothing() -> None:
    limit = AdaptiveLimit(SETTINGS)
    _loaded(limit, places=100, service_s=0.01, rounds=500, callers=5)
    assert limit.limit == 20


def test_failures_make_it_back_off_to_its_least_and_one_among_many_does_not() -> None:
    limit = AdaptiveLimit(SETTINGS)
    for _ in range(500):
        limit.sample(1.0, 20, False)
    assert limit.limit == 4
    assert [limit.admit(in_flight) for in_flight in (3, 4)] == [True, False]
    steady = AdaptiveLimit(SETTINGS)
    for number in range(2_000):
        steady.sample(0.01, steady.limit, number % 50 > 0)
    assert steady.limit > 20


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 5_000), st.booleans()), max_size=400),
    st.integers(1, 50),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_whatever_it_is_told_it_stays_within_its_bounds(
    samples: list[tuple[float, int, bool]], least: int, most: int, initial: int
) -> None:
    limit = AdaptiveLimit(Adaptive(initial=initial, min_limit=least, max_limit=most))
    for latency_s, in_flight, ok in samples:
        limit.sample(latency_s, in_flight, ok)
        assert least <= limit.limit <= max(least, most)
        assert limit.admit(0)


@pytest.mark.parametrize("initial", [1, 5_000])
def test_an_initial_limit_outside_the_bounds_is_brought_inside(initial: int) -> None:
    assert AdaptiveLimit(Adaptive(initial=initial, min_limit=4, max_limit=200)).limit in (4, 200)
