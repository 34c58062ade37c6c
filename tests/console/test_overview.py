"""The platform at a glance: nodes with their revision, traffic, health."""

import httpx
from fastapi import FastAPI

from console.api.messages import Node
from console.api.overview import live_nodes, total_rate
from core.clock import epoch_ms
from core.stores import NodeReport
from tests.console.platform_parts import Platform


def _report(name: str, *, seen_ms: int, revision: int, rate: float = 0.0) -> NodeReport:
    return NodeReport(name, "gateway", 1, 0, seen_ms, revision, requests=5, errors=1, requests_per_s=rate, p99_ms=2.0)


def test_who_is_live_and_current() -> None:
    reports = [_report("a", seen_ms=9_000, revision=3, rate=10), _report("b", seen_ms=1_000, revision=2, rate=99)]
    nodes = live_nodes(reports, 3, 10_000)
    assert nodes == [Node(reports[0], True, True), Node(reports[1], False, False)]
    assert total_rate(nodes) == 10.0


async def test_nodes_over_http_and_as_metrics(platform: Platform, app: FastAPI, viewer: httpx.AsyncClient) -> None:
    revision = await platform.control.registry.revision()
    await platform.control.nodes.report(_report("gw-1", seen_ms=epoch_ms(), revision=revision, rate=12.5))
    (node,) = (await viewer.get("/api/v1/nodes")).json()["items"]
    assert (node["is_live"], node["is_current"], node["report"]["node"]) == (True, True, "gw-1")
    overview = (await viewer.get("/api/v1/overview")).json()
    assert overview["requests_per_s"] == 12.5
    assert overview["parts"] == dict.fromkeys(("database", "mirror", "bus", "cache"), "ok")
    metrics = await viewer.get("/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'zhiyun_node_requests_total{node="gw-1",role="gateway"} 5.0' in metrics.text
    assert 'zhiyun_part_up{part="bus"} 1.0' in metrics.text
    assert (await viewer.get("/readyz")).json()["status"] == "ok"
