"""Cached answers are purged over HTTP, by operators, for routes and services that are there."""

import asyncio

import httpx
import pytest
from structlog.testing import capture_logs

from core.bus import Subscription
from core.purges import PURGED_PATTERN, purge_of
from tests.console.platform_parts import Platform

SECTION = "/api/v1/cached-answers"


@pytest.fixture
async def declared(operator: httpx.AsyncClient) -> None:
    for path, body in (
        ("upstreams/up", {"endpoints": [{"url": "http://127.0.0.1:9"}]}),
        ("routes/goods", {"match": {"path": "/goods/{rest...}"}, "upstream": "up"}),
    ):
        assert (await operator.put(f"/api/v1/{path}", json=body)).status_code == 201


async def test_every_node_is_told_and_the_log_says_who(platform: Platform, operator: httpx.AsyncClient, declared: None) -> None:
    control = Subscription("gateway", PURGED_PATTERN, channel="control", durable=False)
    reader = await platform.parts.bus.subscribe(control)
    with capture_logs() as logs:
        answer = await operator.delete(SECTION, params={"route": "goods", "prefix": "/goods/%7e?page=%2a"})
    assert answer.status_code == 200, answer.text
    assert {"route": "goods", "prefix": "/goods/~?page=%2a", "by": "operator", "number": 1}.items() <= answer.json().items()
    async with asyncio.timeout(10):
        assert purge_of((await reader.next()).envelope).id == answer.json()["id"]
    assert {"actor": "operator", "event": "cached answers purged", "route": "goods"}.items() <= logs[-1].items()
    assert (await operator.delete(SECTION, params={"route": "goods"})).json()["prefix"] == ""


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"route": ""}, 400),
        ({"route": "gods"}, 404),
        ({"route": "goods", "prefix": "goods"}, 400),
        ({"route": "goods", "prefix": "/a/../b"}, 400),
        ({"route": "goods", "prefix": "/智云"}, 400),
        ({"route": "goods", "prefix": "/%4"}, 400),
        ({"route": "goods", "prefix": "/" + "a" * 8192}, 400),
    ],
)
async def test_what_can_not_be_meant_is_refused(
    operator: httpx.AsyncClient, declared: None, params: dict[str, str], status: int
) -> None:
    assert (await operator.delete(SECTION, params=params)).status_code == status


async def test_a_viewer_may_not(viewer: httpx.AsyncClient, declared: None) -> None:
    assert (await viewer.delete(SECTION, params={"route": "goods"})).status_code == 403
