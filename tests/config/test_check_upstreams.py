"""Upstreams that can't work are refused."""

from typing import Any

import pytest

from config.check_upstreams import upstream_problems
from config.types import convert
from config.upstreams import Upstream

GOOD: dict[str, Any] = {"endpoints": [{"url": "http://10.0.0.1:8080"}, {"url": "https://[::1]", "weight": 0}]}


def found(upstream: dict[str, Any]) -> dict[str, str]:
    return {".".join(each.path): each.text for each in upstream_problems(convert(upstream, Upstream), ("upstreams", "shop"))}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"endpoints": [], "discovery": {"dns": "shop.internal:80"}},
        {"endpoints": [], "discovery": {"dns": "[::1]:80", "scheme": "https"}},
        {"discovery": {"url": "https://registry.internal/v1/shop?dc=1"}},
        {"balance": "hash", "hash_on": "header.X-Tenant"},
        {"adaptive": {"initial": 5, "min_limit": 5, "max_limit": 5}},
        {"tls": {"certificate_file": "/c", "key_file": "/k"}},
        {"active": {"statuses": [200, 401]}},
    ],
)
def test_what_can_work(changed: dict[str, Any]) -> None:
    assert found({**GOOD, **changed}) == {}


@pytest.mark.parametrize(
    ("changed", "place", "text"),
    [
        ({"endpoints": []}, "endpoints", "needs endpoints, or a discovery"),
        ({"endpoints": [{"url": "http://a:0"}]}, "endpoints.0.url", "'http://a:0' has no port from 1 to 65535"),
        ({"endpoints": [{"url": "http://a:70000"}]}, "endpoints.0.url", "no port"),
        ({"endpoints": [{"url": "http://a:"}]}, "endpoints.0.url", "no port"),
        ({"endpoints": [{"url": "http://a:x"}]}, "endpoints.0.url", "no port"),
        ({"endpoints": [{"url": "http://:80"}]}, "endpoints.0.url", "no host"),
        ({"endpoints": [{"url": "http://a_%41:80"}]}, "endpoints.0.url", "no host"),
        ({"endpoints": [{"url": "http://a"}, {"url": "http://a"}]}, "endpoints.1.url", "stands here twice"),
        ({"discovery": {}}, "discovery", "exactly one of dns and url"),
        ({"discovery": {"dns": "a:1", "url": "http://b"}}, "discovery", "exactly one of dns and url"),
        ({"discovery": {"dns": "shop.internal"}}, "discovery.dns", "'shop.internal' is not host:port"),
        ({"discovery": {"dns": "shop:99999"}}, "discovery.dns", "not host:port"),
        ({"discovery": {"url": "http://b", "scheme": "https"}}, "discovery.scheme", "belongs to dns"),
        ({"hash_on": "path"}, "hash_on", "no meaning with balance: round_robin"),
        ({"tls": {"certificate_file": "/c"}}, "tls.key_file", "needs both"),
        ({"tls": {"key_file": "/k"}}, "tls.certificate_file", "needs both"),
        ({"adaptive": {"initial": 5, "min_limit": 6}}, "adaptive.initial", "5 is not between min_limit 6 and max_limit 1000"),
        ({"active": {"statuses": []}}, "active.statuses", "no probe ever succeeds"),
        ({"active": {"statuses": [200, 99]}}, "active.statuses.1", "99 is not a status from 200 to 599"),
        ({"retries": {"statuses": [200]}}, "retries.statuses.0", "200 is not a status from 400 to 599"),
    ],
)
def test_what_cannot_work_is_named(changed: dict[str, Any], place: str, text: str) -> None:
    problem = found({**GOOD, **changed})
    assert list(problem) == [f"upstreams.shop.{place}"]
    assert text in problem[f"upstreams.shop.{place}"]
