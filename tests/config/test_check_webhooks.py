"""Webhooks that would tell whom they must not, or can't be signed, are named with their place."""

from typing import Any

import pytest

from config.check_references import References
from config.check_webhooks import is_live, webhook_key, webhook_problems
from config.model import Platform
from config.types import convert

_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # 24 bytes, of the specification's example
_HOOK = {"url": "https://partner.example/hook", "secrets": [_SECRET], "services": ["orders"], "app": "shop"}
_DATASET = {"object": "t", "key": ["id"], "fields": {"id": {"type": "integer"}}}


def _platform(hook: dict[str, Any] | None = None, **app: Any) -> Platform:
    document = {
        "plans": {"p": {"per_s": 1, "burst": 1}},
        "proxies": {"partner": {}},
        "apps": {"shop": {"plan": "p", "scopes": ["orders:read"], **app}},
        "sources": {"crm": {"adapter": "x", "settings": {}, "datasets": {"orders": _DATASET}}},
        "services": {
            "orders": {"kind": "asynchronous", "dataset": "crm.orders"},
            "stock": {"kind": "realtime", "call": {"source": "crm", "operation": "o", "key": "k"}},
        },
        "webhooks": {"hook": {**_HOOK, **(hook or {})}},
    }
    return convert(document, Platform)


def _found(hook: dict[str, Any] | None = None, **app: Any) -> dict[str, str]:
    references = References(_platform(hook, **app), frozenset())
    return {".".join(problem.path[2:]): problem.text for problem in webhook_problems(references)}


def test_a_sensible_webhook_has_no_problem() -> None:
    assert _found() == {}
    assert _found({"url": "http://10.1.2.3:8080/hook", "allow_private": ["10.0.0.0/8"]}) == {}
    assert _found(grants={"orders": {"operations": ["changes", "get"]}}) == {}


@pytest.mark.parametrize(
    ("hook", "app", "place", "text"),
    [
        ({"app": "shp"}, {}, "app", "did you mean 'shop'"),
        ({"services": ["order"]}, {}, "services.0", "did you mean 'orders'"),
        ({"services": ["orders", "orders"]}, {}, "services.1", "twice"),
        ({"services": ["stock"]}, {"scopes": ["stock:read"]}, "services.0", "no dataset"),
        ({}, {"scopes": ["orders:write"]}, "services.0", "lacks the scope orders:read"),
        ({}, {"grants": {"orders": {"operations": ["get"]}}}, "services.0", "leaves out the operation changes"),
        ({"allow_private": ["10.0.0.1/8"]}, {}, "allow_private.0", "not a network"),
        ({"url": "http://partner.example/"}, {}, "url", "use https://"),
        ({"secrets": [_SECRET, "short"]}, {}, "secrets.1", "24 to 64 bytes"),
        ({"secrets": ["whsec_!"]}, {}, "secrets.0", "no base64"),
        ({"first_delay_s": 10.0, "max_delay_s": 5.0}, {}, "max_delay_s", "shorter"),
    ],
)
def test_each_problem_is_found_at_its_place(hook: dict[str, Any], app: dict[str, Any], place: str, text: str) -> None:
    found = _found(hook, **app)
    assert found.keys() == {place}
    assert text in found[place]
    assert "short" not in found[place] or place == "max_delay_s", "a secret is shown"


@pytest.mark.parametrize("url", ["ftp://a/", "https://user:pass@a/", "https://a/#part", "https://", "https://a b/"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Exception, match="url"):
        _platform({"url": url})


def test_a_key_is_base64_after_its_prefix_or_the_text_itself() -> None:
    assert webhook_key(_SECRET).hex() == "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0"
    assert webhook_key("x" * 24) == b"x" * 24


def test_a_webhook_is_live_only_with_all_it_rests_on() -> None:
    def live(hook: dict[str, Any] | None = None, **app: Any) -> bool:
        platform = _platform(hook, **app)
        return is_live(platform, platform.webhooks["hook"], "orders")

    assert live()
    assert live(proxy="partner")
    assert not live({"enabled": False})
    assert not live(enabled=False)
    assert not live(scopes=[])
    assert not live(proxy="unknown")
