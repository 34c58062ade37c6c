"""Routes that can't work, that take each other's requests or the platform's own are refused."""

from typing import Any

import pytest

from config.check import problems
from config.check_routes import route_conflicts
from config.model import Platform
from config.types import convert
from config.upstreams import Match


def found(routes: dict[str, Any], broken: frozenset[tuple[str, ...]] = frozenset(), **more: Any) -> dict[str, str]:
    for route in routes.values():
        route.setdefault("upstream", "shop")
    document = {
        "plans": {"gold": {"per_s": 1, "burst": 1}},
        "apps": {"mall": {"plan": "gold"}},
        "upstreams": {"shop": {"endpoints": [{"url": "http://10.0.0.1"}]}, "canary": {"endpoints": [{"url": "http://10.0.0.2"}]}},
        "routes": routes,
        **more,
    }
    return {".".join(each.path): each.text for each in problems(convert(document, Platform), {}, broken=broken)}


def route(path: str = "/shop/{rest...}", **match: Any) -> dict[str, Any]:
    return {"match": {"path": path, **match}}


GOOD = {
    **route("/shop/{id}/{rest...}", hosts=["*.example.com", "api.example.com", "[::1]"], headers={"X-V": "~v[0-9]{1,3}"}),
    "splits": [
        {"upstream": "canary", "weight": 40},
        {"upstream": "canary", "header": "X-Canary"},
        {"upstream": "shop", "apps": ["mall"]},
    ],
    "shadow": {"upstream": "canary"},
    "strip": 1,
    "policies": {"limits": [{"per_s": 1, "burst": 2}], "transform": {"path": "/v2/{path.id}/{path.rest...}"}},
}


def test_a_route_with_all_that_it_may_have_is_accepted() -> None:
    assert found({"shop-api": GOOD}) == {}


@pytest.mark.parametrize(
    ("changed", "place", "text"),
    [
        (route("/a/{x}/{x}"), "match.path", "'/a/{x}/{x}': {x} stands in the path twice"),
        (route("/a/{x...}/b"), "match.path", "nothing may follow it"),
        (route("/oauth2/x"), "match.path", "/oauth2 is the platform's own"),
        (route("/healthz"), "match.path", "/healthz is the platform's own"),
        (route("/usage/"), "match.path", "/usage is the platform's own"),
        (route("/.well-known/x"), "match.path", "/.well-known is the platform's own"),
        (route(hosts=["example.com:80"]), "match.hosts.0", "'example.com:80' is not a host name"),
        (route(hosts=["a.example.com", "a.*.com"]), "match.hosts.1", "'a.*.com' is not a host name"),
        (route(methods=["CONNECT"]), "match.methods.0", "CONNECT"),
        (route(headers={"X-V": "~("}), "match.headers.X-V", "is no regular expression"),
        (route(query={"v": "~(a+)+"}), "match.query.v", "repeat inside a repeat"),
        ({"upstream": "shp"}, "upstream", "upstream 'shp' is not declared in upstreams; did you mean 'shop'?"),
        ({"shadow": {"upstream": "cnary"}}, "shadow.upstream", "did you mean 'canary'?"),
        ({"shadow": {"upstream": "shop"}}, "shadow.upstream", "the route's own upstream"),
        ({"splits": [{"upstream": "no", "weight": 1}]}, "splits.0.upstream", "upstream 'no' is not declared"),
        ({"splits": [{"upstream": "canary", "apps": ["mal"]}]}, "splits.0.apps.0", "app 'mal' is not declared in apps; did you"),
        ({"splits": [{"upstream": "canary"}]}, "splits.0", "takes no request"),
        ({"splits": [{"upstream": "canary", "weight": 60}, {"upstream": "shop", "weight": 50}]}, "splits", "come to 110"),
        ({"anonymous": True, "splits": [{"upstream": "canary", "apps": ["mall"]}]}, "splits.0.apps", "anonymous"),
        ({**route("/a/b"), "strip": 3}, "strip", "3 segments can't be taken off a path that has 2"),
        ({"policies": {"authenticate": []}}, "policies.authenticate", "nobody can prove who calls"),
        ({"policies": {"limits": [{}]}}, "policies.limits.0", "limits nothing"),
        (
            {"policies": {"transform": {"path": "/{path.idd}"}}},
            "policies.transform.path",
            "'{path.idd}' is no variable of the route's",
        ),
    ],
)
def test_what_cannot_work_is_named(changed: dict[str, Any], place: str, text: str) -> None:
    problem = found({"shop-api": {**route("/shop/{id}"), **changed}})
    assert list(problem) == [f"routes.shop-api.{place}"], problem
    assert text in problem[f"routes.shop-api.{place}"]


def test_a_data_service_keeps_its_path_and_its_name() -> None:
    services = {"orders": {"kind": "asynchronous", "dataset": "crm.orders"}}
    broken = frozenset({("sources",)})
    assert (
        "/v1/orders is the data service 'orders'"
        in found({"a": route("/v1/orders/{id}/x")}, broken, services=services)["routes.a.match.path"]
    )
    assert found({"a": route("/v1/other/x"), "b": route("/v1/{any}/x")}, broken, services=services) == {}
    assert found({"a": route("/v1/orders", hosts=["old.example.com"])}, broken, services=services) == {}
    assert "rename one" in found({"orders": route()}, broken, services=services)["routes.orders"]


def test_references_to_what_is_broken_are_no_second_problem() -> None:
    assert found({"a": {**route(), "upstream": "bad"}}, frozenset({("upstreams", "bad")})) == {}


def test_two_routes_that_match_the_same_are_told() -> None:
    same = found({"a": route("/x/{id}"), "b": route("/x/{key}/"), "c": {**route("/x/{id}"), "enabled": False}})
    assert same == {"routes.b.match": "matches the same as route 'a': any method any host /x/{key}/; change one of them"}


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (Match("/a"), Match("/a/"), True),
        (Match("/a"), Match("/%61"), True),
        (Match("/{x}"), Match("/{y}"), True),
        (Match("/{x...}"), Match("/{y...}"), True),
        (Match("/a", hosts=("H.example",)), Match("/a", hosts=("g.example", "h.example")), True),
        (Match("/a", methods=("GET",)), Match("/a", methods=("PUT", "GET")), True),
        (Match("/a", headers={"X-V": "1"}), Match("/a", headers={"x-v": "1"}), True),
        (Match("/a"), Match("/b"), False),
        (Match("/a"), Match("/{x}"), False),
        (Match("/{x}"), Match("/{x...}"), False),
        (Match("/a", methods=("GET",)), Match("/a"), False),
        (Match("/a", methods=("GET",)), Match("/a", methods=("HEAD",)), False),
        (Match("/a", hosts=("h.example",)), Match("/a"), False),
        (Match("/a", hosts=("*.example",)), Match("/a", hosts=("h.example",)), False),
        (Match("/a", headers={"X-V": "1"}), Match("/a", headers={"X-V": "2"}), False),
        (Match("/a", query={"v": "1"}), Match("/a", headers={"v": "1"}), False),
        (Match("/a//"), Match("/a//"), False),  # a problem of its own
    ],
)
def test_what_matches_the_same(one: Match, other: Match, conflict: bool) -> None:
    assert bool(list(route_conflicts([("one", one), ("other", other)]))) is conflict


def test_ten_thousand_routes_are_checked_in_seconds() -> None:
    many = {f"r-{n}": route(f"/team{n % 50}/svc{n}/{{id}}", methods=["GET", "POST"]) for n in range(10_000)}
    many["last"] = route("/team7/svc7/{other}", methods=["POST"])
    assert list(found(many)) == ["routes.last.match"]
