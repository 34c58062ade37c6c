"""The rules of RFC 9111 and RFC 5861 as values: what is kept, for how long, and what a condition matches."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.policies import Cache
from gateway.cache_rules import (
    NO_WISH,
    Stored,
    Wish,
    admit,
    directives,
    freshened,
    is_unchanged,
    joined,
    moment,
    of_304,
    seconds,
    wish_of,
)

NOW, WALL = 1000.0, 1_700_000_000.0
GRACIOUS = Cache(ttl_s=60, stale_if_error_s=100, stale_while_revalidate_s=10)


def kept(
    *headers: tuple[str, str], status: int = 200, policy: Cache = GRACIOUS, may: bool = True, asked: float = NOW
) -> Stored | None:
    return admit(policy, status, list(headers), may_be_kept=may, asked=asked, now=NOW, wall=WALL)


def control(text: str) -> tuple[str, str]:
    return "Cache-Control", text


@pytest.mark.parametrize(
    ("headers", "lifetime_s"),
    [
        ((), 60),
        ((control("max-age=5"),), 5),
        ((control("max-age=5, s-maxage=7"),), 7),
        ((control("MAX-AGE=5"), ("Expires", formatdate(WALL + 99, usegmt=True))), 5),
        ((("Expires", formatdate(WALL + 30, usegmt=True)), ("Date", formatdate(WALL, usegmt=True))), 30),
        ((control("max-age=50"), ("Age", "20")), 30),
        ((control("max-age=50"), ("Date", formatdate(WALL - 20, usegmt=True))), 30),
        ((control("max-age=99999999999999999999999999"),), float(1 << 31)),
    ],
)
def test_how_long_an_answer_is_fresh(headers: tuple[tuple[str, str], ...], lifetime_s: float) -> None:
    stored = kept(*headers)
    assert stored is not None
    assert stored.stale_at - NOW == pytest.approx(lifetime_s)


@pytest.mark.parametrize(
    "headers",
    [
        (control("no-store"),),
        (control("private"),),
        (control("private, max-age=60"),),
        (("Vary", "*"),),
        (("Vary", "Accept, *"),),
        (("Set-Cookie", "a=b"),),
        (control("max-age=0"),),
        (control('private="x", max-age="9"'),),
        (control("max-age=soon"),),
        (("Expires", "0"),),
    ],
)
def test_what_is_not_kept(headers: tuple[tuple[str, str], ...]) -> None:
    assert kept(*headers, policy=Cache(ttl_s=60)) is None


def test_a_stale_answer_with_a_validator_is_kept_to_be_asked_about() -> None:
    stored = kept(control("max-age=0"), ("ETag", '"1"'))
    assert stored is not None
    assert not stored.is_usable(NO_WISH, NOW)
    assert stored.kept_until > NOW


@pytest.mark.parametrize(("status", "is_kept"), [(200, True), (301, True), (404, False), (206, False), (500, False), (100, False)])
def test_a_status_without_a_word_of_freshness(status: int, is_kept: bool) -> None:
    assert (kept(status=status) is not None) == is_kept


def test_not_found_is_kept_where_the_upstream_says_so() -> None:
    assert kept(control("max-age=5"), status=404) is not None
    assert kept(control("max-age=5"), status=206) is None


def test_an_identified_callers_answer_is_shared_only_where_the_upstream_says_so() -> None:
    assert kept(control("max-age=60"), may=False) is None
    assert kept(may=False) is None
    assert kept(control("public, max-age=60"), may=False) is not None
    assert kept(control("s-maxage=60"), may=False) is not None


@pytest.mark.parametrize(
    ("text", "error_s", "while_s"),
    [
        ("max-age=60", 100, 10),
        ("max-age=60, stale-if-error=5, stale-while-revalidate=6", 5, 6),
        ("max-age=60, must-revalidate", 0, 0),
        ("max-age=60, proxy-revalidate, stale-if-error=5", 0, 0),
        ("s-maxage=60", 0, 0),
        ("s-maxage=60, stale-if-error=5", 5, 0),
    ],
)
def test_the_time_of_grace(text: str, error_s: float, while_s: float) -> None:
    stored = kept(control(text))
    assert stored is not None
    assert stored.error_until == pytest.approx(stored.stale_at + error_s if error_s else 0)
    assert stored.while_until == pytest.approx(stored.stale_at + while_s if while_s else 0)


def test_no_cache_is_kept_and_asked_about_each_time() -> None:
    stored = kept(control("no-cache, max-age=60"), ("ETag", '"1"'))
    assert stored is not None
    assert not stored.is_usable(NO_WISH, NOW)


def test_the_way_of_the_answer_counts_as_age() -> None:
    stored = kept(control("max-age=60"), asked=NOW - 3)
    assert stored is not None
    assert stored.born == NOW - 3


def test_what_a_request_asks_is_kept_to() -> None:
    stored = kept(control("max-age=60"))
    assert stored is not None
    at = NOW + 30
    assert stored.is_usable(NO_WISH, at)
    assert not stored.is_usable(wish_of("no-cache"), at)
    assert not stored.is_usable(wish_of("max-age=29"), at)
    assert stored.is_usable(wish_of("max-age=31"), at)
    assert not stored.is_usable(wish_of("min-fresh=31"), at)
    assert wish_of("max-age=9, Only-If-Cached") == Wish(max_age_s=9, only_if_cached=True)


def test_hop_by_hop_fields_are_not_kept() -> None:
    stored = kept(("Connection", "close, X-Private"), ("X-Private", "1"), ("Keep-Alive", "1"), ("Age", "3"), ("X-Kept", "2"))
    assert stored is not None
    assert stored.headers == [("X-Kept", "2")]


@pytest.mark.parametrize(
    ("none_match", "since", "is_same"),
    [
        ('"1"', "", True),
        ('W/"1"', "", True),
        ('"0", "1"', "", True),
        ('"0,1"', "", False),
        ("*", "", True),
        ('"2"', formatdate(WALL + 9, usegmt=True), False),
        ("", formatdate(WALL, usegmt=True), True),
        ("", formatdate(WALL - 1, usegmt=True), False),
        ("", "yesterday", False),
        ("", "", False),
    ],
)
def test_whether_the_client_has_it(none_match: str, since: str, is_same: bool) -> None:
    stored = kept(control("max-age=60"), ("ETag", 'W/"1"'), ("Last-Modified", formatdate(WALL, usegmt=True)))
    assert stored is not None
    assert is_unchanged(stored, none_match, since) == is_same


def test_a_304_updates_the_fields_but_not_those_of_the_body() -> None:
    stored = kept(("ETag", '"1"'), ("Content-Type", "text/plain"), ("X-A", "old"), ("X-A", "older"))
    assert stored is not None
    assert freshened(stored, [("X-A", "new"), ("Content-Type", "text/html"), ("Content-Length", "0")]) == [
        ("ETag", '"1"'),
        ("Content-Type", "text/plain"),
        ("X-A", "new"),
    ]
    assert of_304([("ETag", '"1"'), ("Content-Type", "x"), ("vary", "a")]) == [("ETag", '"1"'), ("vary", "a")]


def test_directives_with_quotes_and_repeats() -> None:
    assert directives('private="a, b", Max-Age=1, max-age=2, , x') == {"private": "a, b", "max-age": "1", "x": ""}
    assert joined([("A", "1"), ("a", "2")]) == {"a": "1, 2"}
    assert [seconds(text) for text in (None, "", "-1", "1.5", "٣", "7")] == [None, 0.0, 0.0, 0.0, 0.0, 7.0]


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_the_rules(cache_control: str, date: str, vary: str) -> None:
    headers = [("Cache-Control", cache_control), ("Expires", date), ("Date", date), ("Age", date), ("Vary", vary)]
    stored = admit(GRACIOUS, 200, headers, may_be_kept=False, asked=NOW, now=NOW, wall=WALL)
    if stored is not None:
        assert stored.kept_until > NOW
        assert {"public", "s-maxage"} & set(directives(cache_control))
    wish_of(cache_control)
    moment(date)
