"""Balancers: shares, evenness, and how little moves."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.upstreams import Endpoint, Upstream
from gateway.http1.message import made_request
from gateway.identity import Identity
from gateway.upstream.balance import Ewma, HashRing, LeastRequests, RoundRobin, key_of, make_balancer, measure, two_of
from gateway.upstream.endpoints import EndpointState

GET = made_request("GET", "/orders")


def endpoints(*weights: int) -> list[EndpointState]:
    return [EndpointState(Endpoint(f"http://{chr(97 + n)}:80", weight=weight)) for n, weight in enumerate(weights)]


def turns(balancer: RoundRobin | LeastRequests, count: int) -> str:
    return "".join(balancer.pick(GET).host for _ in range(count))


def test_round_robin_spreads_a_heavy_endpoint_over_the_cycle() -> None:
    order = turns(RoundRobin(endpoints(5, 1, 1)), 14)
    assert Counter(order) == {"a": 10, "b": 2, "c": 2}
    assert "aaaa" not in order
    assert order[:7] == order[7:]
    assert turns(RoundRobin(endpoints(1, 1)), 4) in ("abab", "baba")
    assert turns(RoundRobin(endpoints(1000, 1000)), 4) in ("abab", "baba")


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 1000))
def test_round_robin_shares_are_exact_within_a_cycle_and_fair_on_the_way(weights: list[int], start: int) -> None:
    total = sum(weights)
    order = turns(RoundRobin(endpoints(*weights), start), 2 * total)
    assert all(order.count(chr(97 + n)) % 2 == 0 and order.count(chr(97 + n)) == 2 * weight for n, weight in enumerate(weights))
    for length in range(1, total + 1):
        for n, weight in enumerate(weights):
            assert abs(order[:length].count(chr(97 + n)) - length * weight / total) < len(weights) + 1


def test_a_cycle_that_would_be_long_is_rounded_but_starves_nobody() -> None:
    many = [EndpointState(Endpoint(f"http://h{n}:80", weight=1000 if n else 1)) for n in range(100)]
    balancer = RoundRobin(many)
    seen = Counter(balancer.pick(GET).host for _ in range(9000))
    assert len(seen) == 100
    assert all(60 <= seen[f"h{n}"] <= 120 for n in range(1, 100))


@pytest.mark.parametrize("count", [3, 4, 5, 30])
def test_least_requests_evens_out_what_is_under_way_by_weight(count: int) -> None:
    group = endpoints(*[2] + [1] * (count - 1))
    balancer = LeastRequests(group, random.Random(7))
    for _ in range(50 * (count + 1)):
        balancer.pick(GET).active += 1
    assert 88 <= group[0].active <= 112
    assert all(40 <= each.active <= 60 for each in group[1:])


def test_least_requests_takes_turns_where_all_are_equal() -> None:
    assert Counter(turns(LeastRequests(endpoints(1, 1, 1)), 9)) == {"a": 3, "b": 3, "c": 3}


@given(st.integers(2, 9), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_two_of_are_different(count: int, first: float, second: float) -> None:
    draws = iter([first, second])
    one, other = two_of(endpoints(*[1] * count), lambda: next(draws))
    assert one is not other


def test_ewma_turns_away_from_the_slow_and_comes_back_when_it_is_forgotten() -> None:
    now = [100.0]
    fast, slow = endpoints(1, 1)
    balancer = Ewma([fast, slow], random.Random(1), lambda: now[0])
    measure(fast, 0.010, True, now[0])
    measure(slow, 0.500, True, now[0])
    assert {balancer.pick(GET).host for _ in range(20)} == {"a"}
    for _ in range(60):  # a second each: only the fast one is measured again
        now[0] += 1
        measure(fast, 0.010, True, now[0])
    assert {balancer.pick(GET).host for _ in range(20)} == {"b"}


def test_ewma_counts_what_waits_at_an_endpoint() -> None:
    one, other = endpoints(1, 1)
    balancer = Ewma([one, other], random.Random(1), lambda: 0.0)
    measure(one, 0.010, True, 0.0)
    measure(other, 0.030, True, 0.0)
    one.active = 5
    assert balancer.pick(GET) is other


def test_ewma_sends_one_request_to_what_it_does_not_know() -> None:
    known, new = endpoints(1, 1)
    balancer = Ewma([known, new], random.Random(1), lambda: 0.0)
    measure(known, 0.010, True, 0.0)
    assert balancer.pick(GET) is new
    new.active += 1
    assert balancer.pick(GET) is known


def test_a_peak_counts_at_once_and_fades_slowly() -> None:
    [endpoint] = endpoints(1)
    measure(endpoint, 0.010, True, 0.0)
    measure(endpoint, 1.0, True, 0.1)
    assert endpoint.latency_s == 1.0
    measure(endpoint, 0.010, True, 1.1)
    assert 0.85 < endpoint.latency_s < 1.0
    measure(endpoint, 0.010, True, 60.0)
    assert endpoint.latency_s < 0.02


def test_failing_fast_attracts_nobody() -> None:
    [endpoint] = endpoints(1)
    measure(endpoint, 0.010, True, 0.0)
    for _ in range(5):
        measure(endpoint, 0.0001, False, 0.0)
    assert endpoint.latency_s == pytest.approx(0.32)
    for _ in range(50):
        measure(endpoint, 0.0001, False, 0.0)
    assert endpoint.latency_s == 60.0


KEYS = [f"/orders/{n}".encode() for n in range(3000)]


def owners(group: list[EndpointState]) -> dict[bytes, str]:
    ring = HashRing(group, key_of("path"))
    return {key: ring.pick(made_request("GET", key.decode())).host for key in KEYS}


def test_a_hash_shares_by_weight() -> None:
    shares = Counter(owners(endpoints(1, 1, 2)).values())
    assert 550 < shares["a"] < 950
    assert 550 < shares["b"] < 950
    assert 1250 < shares["c"] < 1750


def test_only_the_keys_of_what_goes_move() -> None:
    group = endpoints(1, 1, 1, 1, 1)
    before, after = owners(group), owners(group[:2] + group[3:])
    moved = {before[key] for key in KEYS if before[key] != after[key]}
    assert moved == {"c"}


def test_what_comes_takes_its_share_and_no_more() -> None:
    group = endpoints(1, 1, 1, 1, 1)
    before, after = owners(group[:4]), owners(group)
    gains = Counter(after[key] for key in KEYS if before[key] != after[key])
    assert set(gains) == {"e"}
    assert gains["e"] == pytest.approx(len(KEYS) / 5, rel=0.35)


def test_a_changed_weight_moves_little() -> None:
    before, after = owners(endpoints(2, 2, 2)), owners(endpoints(2, 2, 3))
    gains = Counter(after[key] for key in KEYS if before[key] != after[key])
    assert set(gains) == {"c"}
    assert gains["c"] < len(KEYS) * 0.15


def test_the_ring_stays_small_whatever_the_weights() -> None:
    assert 4096 < len(HashRing(endpoints(999, 1000), key_of("path"))._places) <= 8192
    assert len(HashRing(endpoints(*[1] * 26), key_of("path"))._places) == 26 * 128
    assert len(HashRing(endpoints(1, *[1000] * 25), key_of("path"))._places) <= 8192 + 26


def test_what_is_hashed() -> None:
    request = made_request("GET", "/a/b?c=d", headers={"x-tenant": "t1"}, remote="10.1.1.1")
    assert [key_of(on)(request) for on in ("app", "address", "path", "header.X-Tenant", "header.x-none")] == [
        b"10.1.1.1",
        b"10.1.1.1",
        b"/a/b",
        b"t1",
        b"10.1.1.1",
    ]
    request.identity = Identity("shop", "key")
    assert key_of("app")(request) == b"shop"


@pytest.mark.parametrize(
    ("balance", "kind"), [("round_robin", RoundRobin), ("least_requests", LeastRequests), ("ewma", Ewma), ("hash", HashRing)]
)
def test_the_balancer_that_is_declared(balance: str, kind: type) -> None:
    balancer = make_balancer(Upstream(balance=balance), endpoints(3, 1))  # type: ignore[arg-type]  # the model's own values
    assert isinstance(balancer, kind)
    assert balancer.pick(GET).host in "ab"
    assert make_balancer(Upstream(balance=balance), endpoints(3)).pick(GET).host == "a"  # type: ignore[arg-type]
