"""Limits that limit nothing, or can't mean what they say."""

import pytest

from config.check_limits import limit_problems
from config.policies import Limit

GOOD = Limit(per_s=1.0, burst=5)


@pytest.mark.parametrize(
    "limit",
    [
        GOOD,
        Limit(per=("app", "address"), concurrent=3),
        Limit(per=("plan",), per_day=10, per_month=10),
        Limit(per=("device", "user"), per_s=0.1, burst=1, concurrent=1),
    ],
)
def test_sense(limit: Limit) -> None:
    assert list(limit_problems((limit,), ("routes", "orders", "policies", "limits"))) == []


@pytest.mark.parametrize(
    ("limit", "place", "text"),
    [
        (Limit(), (), "limits nothing; give one of per_s, concurrent, per_day, per_month"),
        (Limit(per_s=1.0), ("burst",), "required beside per_s"),
        (Limit(burst=1, per_day=5), ("per_s",), "required beside burst"),
        (Limit(per_day=10, per_month=9), ("per_month",), "9 a month is less than 10 a day"),
        (Limit(per=("app", "app"), per_day=1), ("per",), "names app twice"),
        (Limit(per=("app", "plan"), per_day=1), ("per",), "remove plan"),
    ],
)
def test_nonsense(limit: Limit, place: tuple[str, ...], text: str) -> None:
    (problem,) = limit_problems((GOOD, limit), ("limits",))
    assert problem.path == ("limits", "1", *place)
    assert text in problem.text


def test_an_anonymous_route_counts_nobody_by_name() -> None:
    limits = (Limit(per=("address",), per_day=1), Limit(per=("app", "user"), per_day=1))
    (problem,) = limit_problems(limits, ("limits",), anonymous=True)
    assert problem.path == ("limits", "1", "per")
    assert "app, user" in problem.text


def test_the_same_twice() -> None:
    (problem,) = limit_problems((GOOD, GOOD), ("limits",))
    assert (problem.path, problem.text) == (("limits", "1"), "is the same as an earlier one; remove it")
