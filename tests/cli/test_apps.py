"""Apps, proxies and their keys from the command line."""

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own


async def test_the_life_of_an_app(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    await zhiyun.platform.control.registry.put("plan", "gold", {"per_s": 1, "burst": 1}, actor="test")
    made = (await zhiyun.ok("app", "create", "shop", "--plan", "gold", "--title", "小程序", "--json")).json
    assert made["key"].startswith("ak_")
    assert (await zhiyun("app", "create", "shop", "--plan", "gold")).status == 1
    assert "小程序" in (await zhiyun.ok("app", "list")).out
    await zhiyun.ok("app", "update", "shop", "--owner", "li@example.com")
    await zhiyun.ok("app", "disable", "shop")
    body = (await zhiyun.ok("app", "show", "shop", "--json")).json["body"]
    assert body == {"plan": "gold", "title": "小程序", "owner": "li@example.com", "enabled": False}
    await zhiyun.ok("app", "enable", "shop")
    rotated = (await zhiyun.ok("app", "rotate", "shop", "--overlap-s", "60", "--json")).json
    assert rotated["key"] == made["key"]
    assert rotated["secret"] != made["secret"]
    second = (await zhiyun.ok("app", "secret", "shop", "--json")).json
    several = await zhiyun("app", "rotate", "shop")
    assert (several.status, "--key" in several.err) == (1, True)
    await zhiyun.ok("app", "revoke", "shop", second["key"])
    keys = await zhiyun.ok("app", "keys", "shop", "--json")
    assert [each["key"] for each in keys.json["items"]] == [made["key"]]
    assert rotated["secret"] not in keys.out
    await zhiyun.ok("app", "delete", "shop")
    gone = await zhiyun("app", "keys", "shop")
    assert gone.status == 1


async def test_a_proxy(zhiyun: CommandLine) -> None:
    made = await zhiyun.ok("proxy", "create", "partner", "--address", "203.0.113.0/24")
    assert "pk_" in made.out
    assert "shown this once" in made.out
    bad = await zhiyun("proxy", "create", "other", "--address", "nowhere")
    assert (bad.status, "addresses" in bad.err) == (1, True)
    assert "203.0.113.0/24" in (await zhiyun.ok("proxy", "list")).out
