"""What one of several nodes may give away, as scripts of requests and messages."""

import pytest

from cache.gcra import count_bound
from cache.shares import Share
from tests.conformance.limiter_suite import rate


def _given(share: Share, nodes: int, *, now: float = 0.0, period: int = 0) -> int:
    """How many requests pass until it gives away no more."""
    given = 0
    while share.places(now, period, nodes)[1] > 0:
        share.charge(now)
        given += 1
        assert given < 10_000
    return given


@pytest.mark.parametrize(("nodes", "expected"), [(1, 12), (2, 6), (4, 3), (12, 1), (100, 1)])
@pytest.mark.parametrize("bound", [rate(1.0, 12), count_bound("day", 12), count_bound("concurrent", 12)])
def test_a_node_gives_away_its_part_of_the_room_and_at_least_one(bound: object, nodes: int, expected: int) -> None:
    assert _given(Share(bound, 0.0, 0), nodes) == expected  # type: ignore[arg-type]


def test_a_script_of_a_rate() -> None:
    share = Share(rate(1.0, 12), 0.0, 0)
    assert _given(share, 2) == 6
    assert share.message(0.0) == 6
    assert _given(share, 2) == 0  # what is on its way still counts
    share.answered(10_000_000, 0.0)  # the other node has used 4
    assert share.places(0.0, 0, 2) == (2, 1)
    assert _given(share, 2) == 1
    assert share.message(0.5) == 1
    share.lost()
    assert share.message(0.5) == 1  # told again
    share.answered(11_500_000, 0.5)
    assert share.places(0.5, 0, 2)[0] == 0
    assert share.places(2.0, 0, 2)[0] == 2


def test_what_was_paid_off_while_nobody_could_be_told_is_not_told() -> None:
    share = Share(rate(10.0, 5), 0.0, 0)
    for tick in range(100):
        share.charge(tick * 0.1)
    assert share.message(9.95) == 1


def test_a_new_day_begins_at_nought() -> None:
    share = Share(count_bound("day", 10), 0.0, 7)
    assert _given(share, 1, period=7) == 10
    share.message(0.0)
    share.answered(25, 0.0)
    assert share.places(0.0, 7, 1) == (0, 0)
    assert share.places(0.0, 6, 1) == (0, 0)  # a clock that ran back
    assert share.places(0.0, 8, 1) == (10, 10)


def test_places_that_the_others_hold() -> None:
    share = Share(count_bound("concurrent", 10), 0.0, 0)
    assert _given(share, 2) == 5
    assert share.message(0.0) == 5
    assert _given(share, 2) == 0
    share.answered(4, 0.0)
    assert share.places(0.0, 0, 2) == (1, 1)
    for _ in range(5):
        share.give_back()
    assert share.message(0.0) == 0
    share.answered(4, 0.0)
    assert share.places(0.0, 0, 2) == (6, 3)


def test_a_share_is_forgotten_when_it_says_nothing() -> None:
    share = Share(rate(1.0, 5), 0.0, 0)
    share.charge(0.0)
    assert not share.is_idle(100.0, 60.0)  # not told yet
    share.message(0.5)
    share.answered(500_000, 0.5)
    assert not share.is_idle(30.0, 60.0)
    assert share.is_idle(100.0, 60.0)
