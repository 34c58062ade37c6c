"""Conditions of a route on header fields and the query."""

import pytest

from config.upstreams import Match
from gateway.conditions import MAX_SEARCHED, conditions_of
from gateway.http1.message import made_request


def fits(match: Match, target: str = "/", **headers: str) -> bool:
    request = made_request("GET", target, headers=headers)
    return all(condition(request) for condition in conditions_of(match)[0])


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        ("2", "2", True),
        ("2", "02", False),
        ("", "", True),
        ("*", "", True),
        ("*", "x", True),
        ("~v[12]", "v2", True),
        ("~v[12]", "v2x", False),  # the whole value
        ("~v[12]", "V2", False),
        ("~(?i)v[12]", "V2", True),
        ("~.*", "a" * MAX_SEARCHED, True),
        ("~.*", "a" * (MAX_SEARCHED + 1), False),
    ],
)
def test_a_value_is_exact_any_or_a_regular_expression(wanted: str, given: str, expected: bool) -> None:
    assert fits(Match(path="/", headers={"X-Version": wanted}), **{"x-version": given}) is expected


def test_what_is_absent_fits_nothing() -> None:
    assert not fits(Match(path="/", headers={"X-Version": "*"}))
    assert not fits(Match(path="/", query={"page": "*"}), "/?pages=1")
    assert not fits(Match(path="/", query={"page": "*"}))


def test_one_of_a_repeated_query_field_is_enough_and_a_malformed_query_fits_nothing() -> None:
    match = Match(path="/", query={"page": "~[0-9]+"})
    assert fits(match, "/?page=x&page=12")
    assert not fits(match, "/?page=x")
    assert fits(match, "/?page=%31")
    assert not fits(Match(path="/", query={"page": "*"}), "/?page=%FF")


def test_how_specific_they_are() -> None:
    assert conditions_of(Match(path="/", headers={"A": "1", "B": "~x"}, query={"c": "*"}))[1] == (3, 1, 1)
