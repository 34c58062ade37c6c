"""What an app has used, from the command line."""

import pytest

from core.clock import epoch_ms
from core.stores import UsageRow
from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own


async def test_the_usage_of_an_app(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    control = zhiyun.platform.control
    assert control.usage
    await control.registry.put("plan", "gold", {"per_s": 1, "burst": 1}, actor="test")
    await control.registry.put("app", "shop", {"plan": "gold"}, actor="test")
    assert "has used nothing" in (await zhiyun.ok("usage", "shop")).out
    await control.usage.add([UsageRow("shop", "goods", epoch_ms() // 3_600_000 * 3_600_000, 1234, 5, 6, 7, 8)])
    shown = (await zhiyun.ok("usage", "shop", "--by", "hour")).out
    assert "goods" in shown
    assert "1,234" in shown
    (item,) = (await zhiyun.ok("usage", "shop", "--json")).json["items"]
    assert (item["requests"], item["errors"], item["limited"]) == (1234, 5, 6)
    mistyped = await zhiyun("usage", "shopp")
    assert (mistyped.status, "did you mean" in mistyped.err, "shop" in mistyped.err) == (1, True, True)
    wrong = await zhiyun("usage", "shop", "--from", "yesterday")
    assert (wrong.status, "from: expected a date" in wrong.err) == (1, True)
