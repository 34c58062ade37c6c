"""Scopes, grants, devices and lists that lead nowhere or mean nothing are refused."""

from typing import Any

import pytest

from config.check_callers import caller_problems
from config.check_references import References
from config.model import Platform
from config.types import convert
from tests.config.test_check_jwk import EC, ED

GOOD: dict[str, Any] = {
    "plans": {"gold": {"per_s": 1, "burst": 1}},
    "proxies": {"agency": {"addresses": ["10.0.0.0/8"], "denied": ["10.1.0.0/16"]}},
    "apps": {
        "mall": {
            "plan": "gold",
            "proxy": "agency",
            "scopes": ["people:read", "people:write", "sales:read", "shop:call"],
            "grants": {
                "people": {"operations": ["get", "update"], "fields": ["id", "extra.mobile"], "masks": {"name": {"hide": True}}},
                "points": {"operations": ["get"], "fields": ["anything"]},
                "shop": {"operations": ["GET", "POST"]},
            },
        }
    },
    "sources": {
        "crm": {
            "adapter": "x",
            "settings": {},
            "datasets": {"people": {"object": "p", "key": ["id"], "fields": {"id": "integer", "name": "text", "extra": "json"}}},
        }
    },
    "services": {
        "people": {"kind": "synchronous", "dataset": "crm.people", "writable": ["name"]},
        "sales": {"kind": "asynchronous", "dataset": "crm.people"},
        "points": {"kind": "realtime", "call": {"source": "crm", "operation": "p", "key": "id"}},
    },
    "routes": {"shop": {"match": {"path": "/shop"}, "upstream": "shop"}},
    "devices": {"till": {"app": "mall", "key": ED}},
    "lists": {"bad": {"addresses": ["203.0.113.0/24"], "apps": ["mall"], "devices": ["till"], "users": ["u1"]}},
}


def found(section: str, name: str, changed: dict[str, Any], broken: frozenset[tuple[str, ...]] = frozenset()) -> dict[str, str]:
    document = {**GOOD, section: {**GOOD[section], name: {**GOOD[section].get(name, {}), **changed}}}
    return {".".join(each.path): each.text for each in caller_problems(References(convert(document, Platform), broken))}


def test_a_sensible_platform_has_no_problem() -> None:
    assert found("apps", "mall", {}) == {}


@pytest.mark.parametrize(
    ("section", "name", "changed", "place", "text"),
    [
        ("apps", "mall", {"plan": "god"}, "plan", "plan 'god' is not declared in plans; did you mean 'gold'?"),
        ("apps", "mall", {"proxy": "agent"}, "proxy", "did you mean 'agency'?"),
        ("apps", "mall", {"denied": ["10.0.0.1/8"]}, "denied.0", "is not a network"),
        ("proxies", "agency", {"denied": ["x"]}, "denied.0", "is not a network"),
        ("apps", "mall", {"scopes": ["shp:call"]}, "scopes.0", "route 'shp' is not declared in routes; did you mean 'shop'?"),
        ("apps", "mall", {"scopes": ["peple:read"]}, "scopes.0", "service 'peple' is not declared in services; did you mean"),
        ("apps", "mall", {"scopes": ["people:call"]}, "scopes.0", "is a service, which is read or written"),
        ("apps", "mall", {"scopes": ["shop:read"]}, "scopes.0", "'shop' is a route, which is called; only shop:call makes sense"),
        ("apps", "mall", {"scopes": ["sales:write"]}, "scopes.0", "service 'sales' is asynchronous and can't be written"),
        (
            "apps",
            "mall",
            {"grants": {"shpo": {}}},
            "grants.shpo",
            "neither a service nor a route is named 'shpo'; did you mean 'shop'",
        ),
        (
            "apps",
            "mall",
            {"grants": {"sales": {"operations": ["update"]}}},
            "grants.sales.operations.0",
            "no operation of service 'sales'",
        ),
        ("apps", "mall", {"grants": {"points": {"operations": ["query"]}}}, "grants.points.operations.0", "which is realtime"),
        ("apps", "mall", {"grants": {"shop": {"operations": ["get"]}}}, "grants.shop.operations.0", "no HTTP method in upper case"),
        (
            "apps",
            "mall",
            {"grants": {"people": {"fields": ["nam"]}}},
            "grants.people.fields.0",
            "field 'nam' is not declared in crm.people",
        ),
        (
            "apps",
            "mall",
            {"grants": {"people": {"fields": ["name.x"]}}},
            "grants.people.fields.0",
            "is text and has nothing inside",
        ),
        (
            "apps",
            "mall",
            {"grants": {"people": {"masks": {"mobil": {}}}}},
            "grants.people.masks.mobil",
            "is not declared in crm.people",
        ),
        ("devices", "till", {"app": "mal"}, "app", "app 'mal' is not declared in apps; did you mean 'mall'?"),
        ("devices", "till", {"key": {**ED, "d": "x"}}, "key", "holds a private key"),
        ("devices", "two", {"app": "mall", "key": {**ED, "kid": "other"}}, "key", "is the key of device 'till' already"),
        ("lists", "bad", {"addresses": ["300.0.0.0/8"]}, "addresses.0", "is not a network"),
        ("lists", "bad", {"apps": ["mal"]}, "apps.0", "did you mean 'mall'?"),
        ("lists", "bad", {"devices": ["til"]}, "devices.0", "device 'til' is not declared in devices; did you mean 'till'?"),
        ("lists", "none", {}, "", "lists nobody; give addresses, apps, devices or users to deny"),
    ],
)
def test_what_makes_no_sense_is_named(section: str, name: str, changed: dict[str, Any], place: str, text: str) -> None:
    problem = found(section, name, changed)
    at = f"{section}.{name}.{place}".rstrip(".")
    assert list(problem) == [at], problem
    assert text in problem[at]


def test_several_devices_have_keys_of_their_own() -> None:
    assert found("devices", "two", {"app": "mall", "key": EC}) == {}


def test_references_to_what_is_broken_are_no_second_problem() -> None:
    broken = frozenset({("services", "old"), ("routes", "older"), ("devices", "gone")})
    assert found("apps", "mall", {"scopes": ["old:read", "older:call"], "grants": {"old": {}, "older": {}}}, broken) == {}
    assert found("lists", "bad", {"devices": ["gone"]}, broken) == {}
