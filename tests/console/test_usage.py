"""What an app has used, over the management API, and the gateway workers' figures in the scrape."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from console.api.app import create_api
from console.api.control import Control
from core.clock import epoch_ms
from core.stores import UsageRow
from gateway.metrics import MetricsFile
from gateway.record import Recorder
from tests.console.conftest import logged_in
from tests.console.platform_parts import Platform
from tests.gateway.observed import ended


async def _declare(control: Control) -> None:
    await control.registry.put("plan", "gold", {"per_s": 1, "burst": 1}, actor="test")
    await control.registry.put("app", "shop", {"plan": "gold"}, actor="test")


async def test_an_apps_usage_by_day_and_hour(platform: Platform, viewer: httpx.AsyncClient) -> None:
    await _declare(platform.control)
    assert platform.control.usage
    hour_ms = epoch_ms() // 3_600_000 * 3_600_000
    await platform.control.usage.add([UsageRow("shop", "goods", hour_ms - n * 3_600_000, 2, 1, 1, 3, 4) for n in range(2)])
    by_hour = (await viewer.get("/api/v1/usage", params={"app": "shop", "by": "hour"})).json()
    assert [(item["route"], item["requests"], item["limited"]) for item in by_hour["items"]] == [("goods", 2, 1)] * 2
    by_day = (await viewer.get("/api/v1/usage", params={"app": "shop"})).json()
    assert (by_day["app"], by_day["by"], sum(item["requests"] for item in by_day["items"])) == ("shop", "day", 4)


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"app": "shop", "from": "yesterday"}, 400, "from: expected a date"),
        ({"app": "shop", "by": "week"}, 400, "by: expected hour or day"),
        ({"app": "nobody"}, 404, "nobody"),
        ({}, 400, "app"),
    ],
)
async def test_what_can_not_be_told(
    platform: Platform, viewer: httpx.AsyncClient, params: dict[str, str], status: int, text: str
) -> None:
    await _declare(platform.control)
    answer = await viewer.get("/api/v1/usage", params=params)
    assert (answer.status_code, text in answer.json()["detail"]) == (status, True), answer.text


async def test_a_node_without_usage_says_so(platform: Platform) -> None:
    values = {name: getattr(platform.control, name) for name in Control.__slots__}
    app = create_api(Control(**{**values, "usage": None}))
    async with logged_in(app, "eve") as client:
        answer = await client.get("/api/v1/usage", params={"app": "shop"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_the_scrape_has_the_workers_of_this_node_too(platform: Platform, viewer: httpx.AsyncClient) -> None:
    assert platform.control.metrics_folder
    recorder = Recorder()
    recorder.on_end(ended())
    MetricsFile(platform.control.metrics_folder, "0", recorder).write()
    families = {family.name: family for family in text_string_to_metric_families((await viewer.get("/metrics")).text)}
    (sample,) = families["zhiyun_gateway_requests"].samples
    assert (sample.labels, sample.value) == ({"route": "customers", "status": "2xx"}, 1)
    assert "zhiyun_registry_revision" in families
