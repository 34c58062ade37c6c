"""Cached answers are purged from the command line."""

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own


async def test_a_route_s_answers_are_purged(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    registry = zhiyun.platform.control.registry
    await registry.put("upstream", "up", {"endpoints": [{"url": "http://127.0.0.1:9"}]}, actor="test")
    await registry.put("route", "goods", {"match": {"path": "/goods/{rest...}"}, "upstream": "up"}, actor="test")
    assert "the answers of goods that were kept until now are forgotten" in (await zhiyun.ok("cache", "purge", "goods")).out
    done = await zhiyun.ok("cache", "purge", "goods", "--prefix", "/goods/7", "--json")
    assert (done.json["route"], done.json["prefix"], done.json["number"]) == ("goods", "/goods/7", 2)
    refused = await zhiyun("cache", "purge", "gods")
    assert (refused.status, "no route and no service gods" in refused.err, refused.err.count("\n")) == (1, True, 1)
