"""One upstream at work: choice, outcome, breaker, bulkhead, retries, reload. Scripts under a hand-held clock."""

from collections import Counter
from typing import Any

import pytest

from config.upstreams import Adaptive, Breaker, Endpoint, PassiveHealth, Retries, Tls, Upstream
from core.errors import ConfigError, Unavailable
from gateway.http1.message import made_request
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.upstream import Upstreams, UpstreamState

GET = made_request("GET", "/orders", timeout_s=1e9)


class Hand:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def declared(*names: str, **more: Any) -> Upstream:
    return Upstream(endpoints=tuple(Endpoint(f"http://{name}:80") for name in names or ("a", "b", "c")), **more)


def hosts(upstream: UpstreamState, count: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(count):
        endpoint = upstream.choose(GET)
        found[endpoint.host] += 1
        upstream.finished(endpoint, 0.001, "ok")
    return found


def fail(upstream: UpstreamState, host: str, times: int) -> None:
    for _ in range(times):
        endpoint = chosen(upstream, host)
        upstream.finished(endpoint, 0.001, "failed")


def chosen(upstream: UpstreamState, host: str) -> EndpointState:
    for _ in range(50):
        endpoint = upstream.choose(GET)
        if endpoint.host == host:
            return endpoint
        upstream.finished(endpoint, 0.001, "abandoned")
    raise AssertionError(f"{host} is never chosen")


def code(upstream: UpstreamState) -> str:
    with pytest.raises(Unavailable) as caught:
        upstream.choose(GET)
    return caught.value.specific_code


def test_requests_under_way_are_counted_until_they_end() -> None:
    upstream = UpstreamState("orders", declared("a"))
    first, second = upstream.choose(GET), upstream.choose(GET)
    assert (first is second, first.active, upstream.active) == (True, 2, 2)
    upstream.finished(first, 0.1, "ok")
    upstream.finished(second, 0.1, "abandoned")
    assert (first.active, upstream.active) == (0, 0)


def test_an_endpoint_is_read_from_its_url() -> None:
    upstream = UpstreamState("orders", Upstream(endpoints=(Endpoint("https://[::1]:8443"), Endpoint("http://shop.example"))))
    assert [(e.host, e.port, e.is_tls, e.authority) for e in upstream.endpoints] == [
        ("::1", 8443, True, b"[::1]:8443"),
        ("shop.example", 80, False, b"shop.example"),
    ]


def test_the_bulkhead_is_full_and_empties() -> None:
    upstream = UpstreamState("orders", declared("a", concurrent=2))
    first = upstream.choose(GET)
    upstream.choose(GET)
    assert code(upstream) == "upstream_busy"
    upstream.finished(first, 0.1, "ok")
    upstream.choose(GET)


def test_the_adaptive_limit_is_asked_and_told() -> None:
    told: list[tuple[float, int, bool]] = []

    class One:
        def admit(self, in_flight: int) -> bool:
            return in_flight < 1

        def sample(self, latency_s: float, in_flight: int, ok: bool) -> None:
            told.append((latency_s, in_flight, ok))

    upstream = UpstreamState("orders", declared("a", adaptive=Adaptive()), make_limit=lambda _: One())
    endpoint = upstream.choose(GET)
    assert code(upstream) == "upstream_busy"
    upstream.finished(endpoint, 0.2, "failed")
    upstream.finished(upstream.choose(GET), 0.3, "abandoned")
    assert told == [(0.2, 1, False)]


def test_the_adaptive_limit_that_is_declared_holds() -> None:
    upstream = UpstreamState("orders", declared("a", adaptive=Adaptive(initial=4, min_limit=4)))
    for _ in range(4):
        upstream.choose(GET)
    assert code(upstream) == "upstream_busy"


def test_no_endpoint_no_weight_and_all_down_are_told() -> None:
    assert code(UpstreamState("orders", Upstream())) == "upstream_down"
    assert code(UpstreamState("orders", Upstream(endpoints=(Endpoint("http://a:1", weight=0),)))) == "upstream_down"


def test_failures_in_a_row_take_an_endpoint_out_for_a_while() -> None:
    clock = Hand()
    upstream = UpstreamState("orders", declared(passive=PassiveHealth(failures=3, eject_s=10)), now=clock)
    fail(upstream, "a", 2)
    assert hosts(upstream, 30)["a"] == 10  # each success clears the count
    fail(upstream, "a", 3)
    assert hosts(upstream, 30) == {"b": 15, "c": 15}
    clock.at += 9.9
    assert "a" not in hosts(upstream, 30)
    clock.at += 0.2
    assert hosts(upstream, 30)["a"] == 10


def test_the_breaker_opens_for_the_whole_and_one_trial_closes_it() -> None:
    clock = Hand()
    upstream = UpstreamState("orders", declared("a", "b", passive=None, breaker=Breaker(failures=4, open_s=5)), now=clock)
    slow = upstream.choose(GET)  # begun while all was well
    for _ in range(4):
        upstream.finished(upstream.choose(GET), 0.01, "refused")
    assert code(upstream) == "upstream_open"
    clock.at += 5
    trial = upstream.choose(GET)
    assert code(upstream) == "upstream_open"  # one at a time
    clock.at += 1
    upstream.finished(slow, 6.0, "ok")  # no word on how things are now
    assert code(upstream) == "upstream_open"
    upstream.finished(trial, 1.0, "failed")
    assert code(upstream) == "upstream_open"
    clock.at += 5
    upstream.finished(upstream.choose(GET), 0.0, "abandoned")  # says nothing: the next may try
    upstream.finished(upstream.choose(GET), 0.0, "ok")
    assert hosts(upstream, 10).total() == 10


def test_a_trial_that_takes_too_long_keeps_nobody_out() -> None:
    clock = Hand()
    upstream = UpstreamState("orders", declared("a", breaker=Breaker(failures=1, open_s=5)), now=clock)
    upstream.finished(upstream.choose(GET), 0, "failed")
    clock.at += 5
    upstream.choose(GET)
    clock.at += 5
    assert code(upstream) == "upstream_open"
    clock.at += 0.1
    upstream.finished(upstream.choose(GET), 0, "ok")
    assert hosts(upstream, 3).total() == 3


def test_a_retry_goes_elsewhere_where_there_is_another() -> None:
    upstream = UpstreamState("orders", declared("a", "b"))
    for _ in range(10):
        first = upstream.choose(GET)
        assert upstream.choose(GET, excluded=first) is not first
    alone = UpstreamState("orders", declared("a"))
    assert alone.choose(GET, excluded=alone.endpoints[0]).host == "a"


def test_a_retry_needs_an_attempt_left_time_and_budget() -> None:
    clock = Hand()
    upstream = UpstreamState("orders", declared("a", retries=Retries(attempts=3, budget=0.5, floor_per_s=0)), now=clock)
    endpoint = upstream.endpoints[0]
    assert not upstream.may_retry(GET, endpoint, 1, "connect")  # nothing was asked, so there is no budget
    hosts(upstream, 4)
    assert [upstream.may_retry(GET, endpoint, 1, "connect") for _ in range(3)] == [True, True, False]
    hosts(upstream, 100)
    assert upstream.may_retry(GET, endpoint, 2, "status:503")
    assert not upstream.may_retry(GET, endpoint, 3, "status:503")
    late = made_request("GET", "/orders")
    late.deadline = clock.at
    assert not upstream.may_retry(late, endpoint, 1, "connect")


def test_what_stays_keeps_its_state_and_what_goes_is_given_back() -> None:
    upstreams = Upstreams()
    assert upstreams.reload({"orders": declared("a", "b"), "old": declared("z")}) == []
    orders = upstreams.get("orders")
    a, b = orders.endpoints
    a.pools[b""] = ["an idle connection"]
    held = orders.choose(GET)
    removed = upstreams.reload({"orders": declared("a", "c", balance="ewma")})
    assert [each.host for each in removed] == ["z", "b"]
    assert upstreams.get("orders") is orders
    assert orders.endpoints[0] is a
    assert [each.host for each in orders.endpoints] == ["a", "c"]
    orders.finished(held, 0.1, "ok")
    assert (orders.active, a.active, b.active) == (0, 0, 0)
    with pytest.raises(ConfigError):
        upstreams.get("old")


def test_an_open_breaker_survives_a_reload_that_does_not_touch_it() -> None:
    upstream = UpstreamState("orders", declared("a", breaker=Breaker(failures=1)))
    upstream.finished(upstream.choose(GET), 0.1, "failed")
    upstream.update(declared("a", "b", breaker=Breaker(failures=1)))
    assert code(upstream) == "upstream_open"
    upstream.update(declared("a", "b", breaker=Breaker(failures=2)))
    assert upstream.choose(GET)


def test_other_tls_needs_new_connections() -> None:
    upstream = UpstreamState("orders", declared("a"))
    [old] = upstream.endpoints
    assert upstream.update(declared("a", tls=Tls(verify=False))) == [old]
    assert upstream.endpoints[0] is not old


def test_what_discovery_finds_joins_what_is_declared() -> None:
    upstream = UpstreamState("orders", declared("a"))
    [a] = upstream.endpoints
    assert upstream.replace_endpoints([Endpoint("http://b:80"), Endpoint("http://a:80", weight=9)]) == []
    assert [(e.host, e.weight) for e in upstream.endpoints] == [("a", 1), ("b", 1)]  # what is declared counts
    assert [e.host for e in upstream.replace_endpoints([Endpoint("http://c:80", weight=2)])] == ["b"]
    assert hosts(upstream, 30) == {"a": 10, "c": 20}
    assert upstream.endpoints[0] is a
    upstream.update(declared("a", title="with another title"))
    assert [e.host for e in upstream.endpoints] == ["a", "c"]
