"""Jobs live: a real runner collects from a real HTTP source, and the API shows how far it is (requirement 2.11)."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from console.api.jobs import progress
from core.schema import SourceColumn
from core.stores import Run, SchemaReport
from tests.console.platform_parts import Platform


def _document(url: str) -> dict[str, Any]:
    return {
        "sources": {
            "points": {
                "adapter": "http_json",
                "settings": {"url": url},
                "datasets": {"member": {"object": "/members", "key": ["id"], "fields": {"id": "integer", "name": "text"}}},
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
    await platform.parts.mirror.prepare("points.member", platform.datasets["points.member"])
    assert (await operator.get("/api/v1/jobs/collect/reconcile")).status_code == 404
    assert (await operator.post("/api/v1/jobs/collect/reconcile")).status_code == 202
    compared = await _compared(operator)
    # Nothing delivers to the mirror here, so it has none of the 25.
    assert (compared["state"], compared["source_rows"], compared["mirror_rows"], compared["missing"]) == ("differs", 25, 0, 25)
    wanted = await operator.post("/api/v1/jobs/collect/backfill", json={"fields": ["name"]})
    assert wanted.status_code == 202
    again = await _until_run(operator, 3)
    assert (again["state"], again["backfill"], again["rows"]) == ("succeeded", ["name"], 25)
    refused = await operator.post("/api/v1/jobs/collect/backfill", json={"fields": ["nam"]})
    assert (refused.status_code, "has no field nam" in refused.json()["detail"]) == (400, True)
    assert (await operator.get("/api/v1/jobs/collect/drift")).status_code == 404  # its source does not tell its columns
    columns = (SourceColumn("id", "integer", "int"),)
    await platform.parts.job_states.keep_schema(SchemaReport("collect", "points.member", 1, "f", columns, columns, added=("x",)))
    assert (await operator.get("/api/v1/jobs/collect/drift")).json()["added"] == ["x"]
    checked = (await operator.post("/api/v1/sources/points/check")).json()
    assert checked["name"] == "points"
    await serving.cleanup()


async def _compared(operator: httpx.AsyncClient) -> Any:
    for _ in range(3000):
        found = (await operator.get("/api/v1/jobs/collect/reconcile")).json()
        if found["state"] != "running":
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("never ended")


async def _until_run(operator: httpx.AsyncClient, count: int) -> Any:
    """The newest run, once so many have ended."""
    async with asyncio.timeout(60):
        while True:
            runs = (await operator.get("/api/v1/jobs/collect/runs")).json()["items"]
            if len(runs) == count and runs[0]["state"] != "running":
                return runs[0]
            await asyncio.sleep(0.02)


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


async def test_a_file_tells_its_own_format(platform: Platform, operator: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop/a.csv").write_bytes("编号;姓名\n1;张三\n2;李四\n".encode("gb18030"))
    dataset = {"object": "*.csv", "key": ["id"], "fields": {"id": "integer"}, "format": {"type": "csv"}}
    drop = {"adapter": "files", "settings": {"root": str(tmp_path / "drop")}, "datasets": {"people": dataset}}
    answer = await operator.post(
        "/api/v1/apply", json={"document": {"sources": {"drop": drop, **_document("http://127.0.0.1:9")["sources"]}}}
    )
    assert answer.status_code == 200, answer.text
    await platform.reload()
    found = (await operator.post("/api/v1/sources/drop/datasets/people/detect")).json()
    assert (found["encoding"], found["delimiter"], found["columns"]) == ("gb18030", ";", ["编号", "姓名"])
    assert (await operator.post("/api/v1/sources/drop/datasets/nothing/detect")).status_code == 404
    assert (await operator.post("/api/v1/sources/nobody/datasets/people/detect")).status_code == 404
    assert (await operator.post("/api/v1/sources/points/datasets/member/detect")).status_code == 503
    (tmp_path / "drop/a.csv").unlink()
    assert (await operator.post("/api/v1/sources/drop/datasets/people/detect")).status_code == 404
