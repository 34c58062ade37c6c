"""Jobs live: a real runner collects from a real HTTP source, and the API shows how far it is (requirement 2.11)."""

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import web

from console.api.jobs import progress
from core.stores import Run
from tests.console.platform_parts import Platform


def _document(url: str) -> dict[str, Any]:
    return {
        "sources": {
            "points": {
                "adapter": "http_json",
                "settings": {"url": url},
                "datasets": {"member": {"object": "/members", "key": ["id"], "fields": {"id": "integer"}}},
            }
        },
        "jobs": {
            "collect": {
                "dataset": "points.member",
                "mode": "full",
                "schedule": {"cron": "0 3 1 1 *"},
                "retry": {"attempts": 1, "delay_s": 1},
            }
        },
    }


@pytest.mark.req("2.11")
async def test_a_run_seen_from_outside(platform: Platform, operator: httpx.AsyncClient) -> None:
    hold = asyncio.Event()

    async def members(_: web.Request) -> web.Response:
        await hold.wait()
        return web.json_response([{"id": number} for number in range(25)])

    source = web.Application()
    source.router.add_get("/members", members)
    serving = web.AppRunner(source)
    await serving.setup()
    site = web.TCPSite(serving, "127.0.0.1", 0)
    await site.start()
    port = serving.addresses[0][1]
    await operator.post("/api/v1/apply", json={"document": _document(f"http://127.0.0.1:{port}")})
    await platform.reload()
    assert (await operator.get("/api/v1/jobs/collect")).json()["progress"] is None
    assert (await operator.post("/api/v1/jobs/collect/run")).status_code == 202
    await _until(operator, "running")
    assert (await operator.post("/api/v1/jobs/collect/reset")).status_code == 409
    assert (await operator.post("/api/v1/jobs/collect/cancel")).status_code == 202
    await _until(operator, "cancelled")
    hold.set()
    await operator.post("/api/v1/jobs/collect/run")
    done = await _until(operator, "succeeded")
    assert (done["rows"], done["share"] in (None, 1.0), done["reason"]) == (25, True, "")
    runs = (await operator.get("/api/v1/jobs/collect/runs")).json()["items"]
    assert [run["state"] for run in runs] == ["succeeded", "cancelled"]
    assert (await operator.get("/api/v1/jobs")).json()["items"][0]["progress"] == done
    assert (await operator.post("/api/v1/jobs/none/run")).status_code == 404
    metrics = (await operator.get("/metrics")).text
    assert 'zhiyun_job_rows{job="collect"} 25.0' in metrics
    checked = (await operator.post("/api/v1/sources/points/check")).json()
    assert checked["name"] == "points"
    await serving.cleanup()


async def _until(operator: httpx.AsyncClient, state: str) -> Any:
    for _ in range(3000):
        found = (await operator.get("/api/v1/jobs/collect")).json()["progress"]
        if found and found["state"] == state:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {state}: {found}")


def test_progress_of_a_run() -> None:
    half = progress(Run("SYNC20240510001", "j", "running", started_ms=0, rows=50, expected=100), now_ms=10_000)
    assert (half.share, half.rows_per_s) == (0.5, 5.0)
    more_than_expected = progress(Run("b", "j", "running", started_ms=0, rows=150, expected=100), now_ms=10_000)
    assert more_than_expected.share == 1.0
    fewer = progress(Run("b", "j", "succeeded", started_ms=0, ended_ms=5_000, rows=90, expected=100), now_ms=99_000)
    assert (fewer.share, fewer.rows_per_s) == (1.0, 18.0)
    assert progress(Run("b", "j", "running", started_ms=0), now_ms=0).share is None
