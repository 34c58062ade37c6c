"""A console with something to show, as a process of its own: python -m tests.console.serve_sample FOLDER PORT."""

import asyncio
import random
import sys
from pathlib import Path

import uvicorn

from console.api.app import create_api
from console.web.mount import mount
from core.clock import epoch_ms
from core.records import BadRow
from core.stores import NodeReport
from tests.console.platform_parts import Platform, open_platform

DOCUMENT = {
    "plans": {"gold": {"per_s": 100, "burst": 20}},
    "sources": {
        "points": {
            "adapter": "http_json",
            "settings": {"url": "http://127.0.0.1:1"},
            "datasets": {
                name: {"object": name, "key": ["id"], "fields": {"id": "text"}}
                for name in ("members", "orders", "owners", "buildings", "follow_ups")
            },
        }
    },
    "jobs": {
        f"collect-{name.replace('_', '-')}": {
            "dataset": f"points.{name}",
            "mode": "full",
            "title": title,
            "schedule": {"cron": "0 3 1 1 *"},
        }
        for name, title in (
            ("members", "会员 members"),
            ("orders", "成交 <deals>"),
            ("owners", "业主 owners"),
            ("buildings", "楼盘 buildings"),
            ("follow_ups", "跟进 follow-ups"),
        )
    },
}


async def fill(platform: Platform) -> None:
    """Runs in every state, bad rows, a dead part of the estate."""
    await platform.control.registry.apply(DOCUMENT, actor="test")
    states = platform.parts.job_states
    for name, state, rows, expected in (
        ("collect-members", "succeeded", 20_000, 20_000),
        ("collect-orders", "partial", 8_214, 8_220),
        ("collect-owners", "failed", 310, 5_000),
        ("collect-buildings", "running", 61_300, 90_000),
    ):
        run = await states.begin(name, day="20240510")
        run.state, run.rows, run.expected = state, rows, expected  # type: ignore[assignment]
        run.started_ms -= 4_000
        if state == "partial":
            run.bad_rows = 6
        if state == "failed":
            run.reason = "source points: 127.0.0.1:1 refused the connection"
        if state != "running":
            run.ended_ms = epoch_ms()
        await states.progress(run, None)
    bad = [BadRow("mobile: 13x is no number", f"line {number}", b"13x", ("mobile",)) for number in range(6)]
    await platform.parts.quarantine.add("collect-orders", "points.orders", "SYNC20240510002", bad)


async def report_nodes(platform: Platform) -> None:
    """Three processes, one of them behind."""
    started = epoch_ms()
    while True:
        revision = await platform.control.registry.revision()
        for number, role in enumerate(("gateway", "gateway", "back-office")):
            busy = role == "gateway"
            report = NodeReport(f"node-01m80-{role}-{number}", role, 4000 + number, started, epoch_ms(), revision - (number == 1))  # type: ignore[arg-type]
            report.requests_per_s = 800 + 300 * random.random() if busy else 0.0
            report.p99_ms = 3.0 if busy else 0.0
            await platform.parts.nodes.report(report)
        await asyncio.sleep(1)


async def main(folder: Path, port: int) -> None:
    async with open_platform(folder) as platform:
        await fill(platform)
        app = create_api(platform.control)
        mount(app, platform.control, storage_secret="s" * 32)
        reporting = asyncio.ensure_future(report_nodes(platform))
        config = uvicorn.Config(app, host="127.0.0.1", port=port, loop="none", log_level="warning", access_log=False)
        await uvicorn.Server(config).serve()
        reporting.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
