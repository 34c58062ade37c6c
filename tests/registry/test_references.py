"""Who stands in the way of deleting a resource."""

import pytest

from config.model import Platform
from config.types import convert
from registry.references import referrers

ROUTE = {"match": {"path": "/a"}, "upstream": "shop"}
PLATFORM = convert(
    {
        "plans": {"gold": {"per_s": 1, "burst": 1}},
        "issuers": {"login": {"issuer": "https://a", "audience": "z", "algorithm": "ES256", "jwks_url": "https://a/k"}},
        "proxies": {"agency": {}},
        "apps": {
            "mall": {"plan": "gold", "proxy": "agency", "scopes": ["orders:read", "front:call"], "subjects": {"login": ["m"]}},
            "kiosk": {"plan": "gold", "grants": {"points": {}, "back": {}}},
            "alone": {"plan": "gold"},
        },
        "devices": {"till": {"app": "mall", "key": {"kty": "OKP"}}, "other": {"app": "kiosk", "key": {"kty": "OKP"}}},
        "sources": {"crm": {"adapter": "x", "settings": {}}, "unused": {"adapter": "x", "settings": {}}},
        "services": {
            "orders": {"kind": "asynchronous", "dataset": "crm.orders"},
            "points": {"kind": "realtime", "call": {"source": "crm", "operation": "p", "key": "id"}},
        },
        "jobs": {"nightly": {"dataset": "crm.orders"}},
        "upstreams": {"shop": {}, "canary": {}, "copy": {}, "unused": {}},
        "routes": {
            "front": {**ROUTE, "splits": [{"upstream": "canary", "apps": ["mall"]}], "shadow": {"upstream": "copy"}},
            "back": ROUTE,
        },
        "lists": {"bad": {"apps": ["kiosk"], "devices": ["till"]}},
    },
    Platform,
)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("plan", "gold", ["app mall", "app kiosk", "app alone"]),
        ("issuer", "login", ["app mall"]),
        ("proxy", "agency", ["app mall"]),
        ("app", "mall", ["device till", "route front"]),
        ("app", "kiosk", ["device other", "list bad"]),
        ("app", "alone", []),
        ("device", "till", ["list bad"]),
        ("device", "other", []),
        ("source", "crm", ["service orders", "service points", "job nightly"]),
        ("source", "unused", []),
        ("service", "orders", ["app mall"]),
        ("service", "points", ["app kiosk"]),
        ("job", "nightly", []),
        ("upstream", "shop", ["route front", "route back"]),
        ("upstream", "canary", ["route front"]),
        ("upstream", "copy", ["route front"]),
        ("upstream", "unused", []),
        ("route", "front", ["app mall"]),
        ("route", "back", ["app kiosk"]),
        ("list", "bad", []),
    ],
)
def test_who_names_it(kind: str, name: str, expected: list[str]) -> None:
    assert referrers(kind, name, PLATFORM) == expected
