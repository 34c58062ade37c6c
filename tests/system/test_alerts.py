"""A source is down for the whole span of its retries: reads go on, the owner is told, and told again when it is back."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.servers.ports import free_port
from tests.system.node import Node, eventually, run_once, settle


@contextmanager
def _listener() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that takes events: its URL and what came."""
    got: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if event["kind"] == "job_failed":  # the sample's dirty rows are incidents of their own
                got.append(event)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/events?token=t0ken", got
    finally:
        server.shutdown()
        server.server_close()


def _failures(operator: httpx.Client) -> list[dict[str, Any]]:
    return [each for each in operator.get("/incidents").json()["items"] if each["kind"] == "job_failed"]


@pytest.mark.req("2.12")
@pytest.mark.req("0.02")
def test_a_source_down_for_the_whole_span_of_retries(own_node: Node) -> None:
    with _listener() as (url, got), own_node.operator() as operator, own_node.app() as app:
        assert run_once(operator, "rooms")["state"] in ("succeeded", "partial")
        kept = operator.get("/sources/property").json()["body"]["settings"]["port"]
        assert operator.put("/contacts/owner", json={"webhook": url}).status_code in (200, 201)
        change = {"alert": "owner", "retry": {"attempts": 3, "delay_s": 0.2}, "schedule": {"every_s": 3600}}
        schedule = operator.get("/jobs/rooms").json()["body"]["schedule"]
        assert operator.patch("/jobs/rooms", json={**change, "schedule": schedule}).status_code == 200
        assert operator.patch("/sources/property", json={"settings": {"port": free_port()}}).status_code == 200
        settle(own_node, "back-office")
        operator.post("/jobs/rooms/run")
        eventually("the owner is told", lambda: [each["event"] for each in got] == ["incident.raised"])
        (incident,) = _failures(operator)
        assert (incident["subject"], incident["state"], incident["told_ms"] > 0) == ("rooms", "open", True)
        assert (incident["detail"], incident["id"]) == (got[0]["detail"], got[0]["incident"])
        runs = operator.get("/jobs/rooms/runs").json()["items"]
        assert [run["attempt"] for run in runs[:3]] == [3, 2, 1]
        assert "t0ken" not in operator.get("/contacts/owner").text
        read = app.get("/v1/rooms?limit=3")
        assert (read.status_code, len(read.json()["data"])) == (200, 3)
        assert int(read.headers["Age"]) >= 0
        assert operator.patch("/sources/property", json={"settings": {"port": kept}}).status_code == 200
        settle(own_node, "back-office")
        eventually("it runs again", lambda: run_once(operator, "rooms")["state"] != "failed")
        eventually("the owner hears of the end", lambda: [each["event"] for each in got] == ["incident.raised", "incident.closed"])
        assert _failures(operator) == []
    assert "t0ken" not in own_node.output()
