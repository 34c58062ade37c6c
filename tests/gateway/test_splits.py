"""Canary: by header, by app, by weight."""

from collections import Counter

import pytest

from config.upstreams import Match, Route, Split
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from gateway.upstream.splits import make_splitter


def route(*splits: Split) -> Route:
    return Route(match=Match(path="/a"), upstream="stable", splits=splits)


def of_app(app: str) -> Request:
    request = made_request("GET", "/a")
    request.identity = Identity(app, "key")
    return request


def choose(request: Request, *splits: Split, name: str = "orders") -> str:
    splitter = make_splitter(name, route(*splits))
    assert splitter is not None
    return splitter.choose(request)


def test_without_splits_there_is_nothing_to_ask() -> None:
    assert make_splitter("orders", route()) is None


@pytest.mark.parametrize(("value", "expected"), [("1", "canary"), ("0", "stable"), ("", "stable"), (None, "stable")])
def test_a_header_value_leads_to_its_upstream(value: str | None, expected: str) -> None:
    request = made_request("GET", "/a", headers={} if value is None else {"x-canary": value})
    assert choose(request, Split("canary", header="X-Canary")) == expected


def test_named_apps_lead_to_their_upstream_and_the_first_that_fits_wins() -> None:
    splits = Split("canary", apps=("pilot",)), Split("next", apps=("pilot", "brave"))
    assert [choose(of_app(app), *splits) for app in ("pilot", "brave", "shop")] == ["canary", "next", "stable"]
    assert choose(made_request("GET", "/a"), *splits) == "stable"


def test_weights_share_the_rest_and_an_app_stays_where_it_is() -> None:
    splits = Split("ten", weight=10), Split("thirty", weight=30)
    shares = Counter(choose(of_app(f"app-{n}"), *splits) for n in range(3000))
    assert 220 < shares["ten"] < 380
    assert 780 < shares["thirty"] < 1020
    assert len({choose(of_app("app-1"), *splits) for _ in range(10)}) == 1
    assert len({choose(of_app(f"app-{n}"), *splits, name="other") for n in range(50)}) == 3


def test_requests_without_an_app_draw_by_their_id() -> None:
    drawn = Counter(choose(made_request("GET", "/a", request_id=f"req_{n}"), Split("canary", weight=50)) for n in range(1000))
    assert 400 < drawn["canary"] < 600


def test_a_growing_weight_only_adds_apps() -> None:
    apps = [of_app(f"app-{n}") for n in range(500)]
    few = {n for n, app in enumerate(apps) if choose(app, Split("canary", weight=5)) == "canary"}
    more = {n for n, app in enumerate(apps) if choose(app, Split("canary", weight=20)) == "canary"}
    assert few < more
    assert all(choose(app, Split("canary", weight=100)) == "canary" for app in apps)
