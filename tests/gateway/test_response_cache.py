"""The store of the response cache: its bounds, what is forgotten when, and who goes upstream for a key."""

import asyncio

from config.model import App, Platform, Service
from config.policies import Cache as Policy
from config.policies import Grant, Policies
from config.upstreams import Endpoint, Match, Route, Split, Upstream
from core.purges import Purge
from gateway.cache_rules import Stored
from gateway.response_cache import PASSED, Flight, ResponseStore, Varied, Waiter
from gateway.stage import Response

NOW = 1000.0


def stored(body: bytes = b"x", vary: tuple[str, ...] = ()) -> Stored:
    return Stored(200, [("Content-Type", "text/plain")], body, NOW, NOW + 60, 0.0, 0.0, NOW + 60, "", "", vary)


def made(**bounds: int) -> ResponseStore:
    return ResponseStore(clock=lambda: NOW, **bounds)


def put(store: ResponseStore, number: int, *, route: str = "goods", target: str = "/goods", answer: Stored | None = None) -> None:
    flight = store.begin((number,), target, f"route:{route}")
    assert flight
    store.keep(flight, (number,), (number,), answer or stored())
    store.settle(flight)


def test_it_is_bounded_in_entries_and_bytes() -> None:
    store = made(max_bytes=20_000, max_entries=8)
    for number in range(50):
        put(store, number)
    assert (len(store), store.find((49,)), store.find((41,))) == (8, stored(), None)
    for number in range(50):
        put(store, number, answer=stored(b"x" * 9000))
        assert store.bytes <= 20_000
    put(store, 99, answer=stored(b"x" * 30_000))
    assert store.find((99,)) is None


def test_one_goes_upstream_for_a_key_until_it_is_settled() -> None:
    store = made()
    first = store.begin((1,), "/a", "route:r")
    assert first
    assert (store.begin((1,), "/a", "route:r"), store.flight((1,))) == (None, first)
    store.settle(first)
    second = store.begin((1,), "/a", "route:r")
    assert second
    store.settle(first)
    assert store.flight((1,)) is second, "a flight that is over ends no other"


def test_an_answer_that_varies_is_under_its_values() -> None:
    store = made()
    flight = store.begin((1,), "/a", "route:r")
    assert flight
    answer = stored(vary=("accept",))
    store.keep(flight, (1,), ((1,), ("text/html",)), answer)
    assert (store.find((1,)), store.find(((1,), ("text/html",)))) == (Varied(("accept",)), answer)
    store.pass_by(flight)
    assert store.find((1,)) is PASSED


def test_what_is_on_its_way_when_its_target_or_route_is_forgotten_is_not_kept() -> None:
    store = made()

    def lead(number: int) -> Flight:
        flight = store.begin((number,), f"/{number}", f"route:{number}")
        assert flight
        return flight

    by_target, by_route, other = lead(1), lead(2), lead(3)
    store.invalidate("/1")
    store.purge("2")
    for flight in (by_target, by_route, other):
        store.keep(flight, flight.key, flight.key, stored())
    assert [store.find((number,)) is not None for number in (1, 2, 3)] == [False, False, True]


async def test_those_who_wait_are_asked_in_order_and_the_gone_are_left_out() -> None:
    store = made()
    flight = store.begin((1,), "/a", "route:r")
    assert flight
    asked: list[tuple[int, bool]] = []

    def waiter(number: int, outcome: Response | None) -> Waiter:
        def again(_: Waiter, has_failed: bool) -> Response | None:
            asked.append((number, has_failed))
            return outcome

        return Waiter(asyncio.get_running_loop().create_future(), again)

    answer = Response(200)
    waiters = [waiter(0, answer), waiter(1, None), waiter(2, answer)]
    flight.waiters.extend(waiters)
    waiters[1].future.cancel()
    store.settle(flight, has_failed=True)
    assert (asked, [waiters[0].future.result(), waiters[2].future.result()]) == ([(0, True), (2, True)], [answer, answer])


def test_a_reload_forgets_the_answers_of_what_has_changed() -> None:
    store = made()
    policies = Policies(cache=Policy(ttl_s=60))

    def platform(port: int = 1, *, canary: int = 1, grant: Grant | None = None, title: str = "") -> Platform:
        return Platform(
            upstreams={name: Upstream(endpoints=(Endpoint(f"http://h:{p}"),)) for name, p in (("up", port), ("next", canary))},
            routes={
                "goods": Route(Match("/goods"), "up", splits=(Split("next", weight=1),), policies=policies),
                "plain": Route(Match("/x"), "up"),
            },
            services={"live": Service(kind="realtime", policies=policies, title=title)},
            apps={"shop": App(plan="p", grants={"goods": grant} if grant else {})},
        )

    def gone(following: Platform) -> set[str]:
        for number, route in enumerate(("goods", "live")):
            put(store, number, route=route)
        store.follow(following)
        return {route for number, route in enumerate(("goods", "live")) if store.find((number,)) is None}

    store.follow(platform())
    assert gone(platform()) == set()
    assert gone(platform(title="new")) == {"live"}
    assert gone(platform(port=2)) == {"goods", "live"}
    assert gone(platform(port=2, canary=2)) == {"goods"}
    assert gone(platform(port=2, canary=2, grant=Grant(fields=("id",)))) == {"goods"}
    assert gone(Platform()) == {"goods", "live"}


def test_a_purge_says_how_many() -> None:
    store = made()
    for number in range(3):
        put(store, number, route="goods" if number else "other")
    assert [store.purge("goods"), store.purge("goods"), len(store)] == [2, 0, 1]


def test_a_purge_may_be_of_the_targets_that_begin_with_a_path() -> None:
    store = made()
    targets = [
        "a.example/goods/7",
        "a.example/goods/71?b",
        "b.example:81/goods/7?c",
        "[::1]/goods/8",
        "/goods/7",
        "a.example/x/goods/7",
    ]
    for number, target in enumerate(targets):
        put(store, number, target=target)
    put(store, 9, route="other", target="a.example/goods/7")
    flights = [
        store.begin((number,), target, "route:goods") for number, target in ((20, "a.example/goods/7"), (21, "a.example/goods/8"))
    ]
    assert store.purge("goods", "/goods/7") == 4
    assert [number for number in (0, 1, 2, 3, 4, 5, 9) if store.find((number,)) is not None] == [3, 5, 9]
    for flight in flights:
        assert flight
        store.keep(flight, flight.key, flight.key, stored())
    assert [store.find((number,)) is not None for number in (20, 21)] == [False, True], "what was on its way is not kept either"


def test_a_purge_that_is_told_twice_is_done_once() -> None:
    store = made()
    put(store, 1)
    told = Purge("p1", "goods", "", 0, "li")
    store.take_purges([told])
    assert store.find((1,)) is None
    put(store, 1)
    store.take_purges([told, Purge("p2", "goods", "/other", 0, "li", 2)])
    assert store.find((1,)) is not None, "it was kept after the purge"
    store.take_purges([Purge(f"q{number}", "gone", "", 0, "li") for number in range(5000)])
    assert len(store._purged) <= 1024
