"""What deploy/compose.yaml starts, as plain processes: two gateways and a back office on real MariaDB, RabbitMQ and Redis."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.mariadb import MariaDBDatabase
from tests.servers.ports import free_port
from tools.source_tree import ROOT

_UP_S = 120.0
DOCUMENT = {
    "version": 1,
    "plans": {"three": {"per_s": 0.01, "burst": 3}},
    "apps": {"shop": {"plan": "three", "scopes": ["things:read"]}},
    "sources": {
        "shelf": {
            "adapter": "http_json",
            "settings": {"url": "http://127.0.0.1:9"},
            "datasets": {"things": {"object": "/things", "key": ["id"], "fields": {"id": "text"}}},
        }
    },
    "services": {"things": {"kind": "asynchronous", "dataset": "shelf.things", "freshness": {"app_s": 0, "cache_s": 0}}},
}


class Node:
    """One `zhiyun up` with a role and a data folder of its own."""

    def __init__(self, role: str, folder: Path, config: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        up = [sys.executable, "-m", "cli", "up", "--config", str(config), "--data-dir", str(folder)]
        command = [*up, "--console" if role == "back-office" else "--http", f"127.0.0.1:{self.port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ZHIYUN_")}
        environment |= {"ZHIYUN_ROLES": role, "MASTER_KEY": "0123456789abcdef" * 4}
        folder.mkdir()
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def await_health(self) -> None:
        wait(lambda: httpx.get(f"{self.url}/healthz").status_code == 200, lambda: (self.folder / "log").read_text())

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=60)


def wait(condition: Callable[[], bool], tell: Callable[[], str]) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass  # nobody listens yet
        time.sleep(0.1)
    pytest.fail(f"not within {_UP_S:g} s:\n{tell()}")


@pytest.fixture
def config(mariadb_database: MariaDBDatabase, rabbitmq_url: str, redis_url: str, tmp_path: Path) -> Path:
    """deploy/zhiyun.yaml with the addresses of the test's servers."""
    base = mariadb_database
    addresses = {
        "database": f"mysql://{base.user}:{base.password}@{base.host}:{base.port}/{base.database}",
        "bus": rabbitmq_url,
        "cache": redis_url,
    }
    text = (ROOT / "deploy/zhiyun.yaml").read_text(encoding="utf-8")
    for name, address in addresses.items():
        text, count = re.subn(rf"^{name}: .*$", f"{name}: {address}", text, flags=re.MULTILINE)
        assert count == 1
    text += "public_url: https://api.example.test\n"  # as compose.yaml sets it for all nodes: tokens carry it as their issuer
    file = tmp_path / "zhiyun.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def nodes(config: Path, tmp_path: Path) -> Iterator[dict[str, Node]]:
    """In the order of the compose file's depends_on."""
    with ExitStack() as stack:
        started: dict[str, Node] = {}
        for name, role in (("back-office", "back-office"), ("gateway-1", "gateway"), ("gateway-2", "gateway")):
            node = started[name] = Node(role, tmp_path / name, config)
            stack.callback(node.end)
            node.await_health()
        yield started


def management(node: Node) -> httpx.Client:
    token = (node.folder / "operator.token").read_text().strip()
    return httpx.Client(base_url=f"{node.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=10)


def reports(client: httpx.Client) -> list[dict[str, Any]]:
    return [item["report"] for item in client.get("/nodes").json()["items"]]


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.req("0.33")
def test_gateways_share_configuration_tokens_and_limits(nodes: dict[str, Node]) -> None:
    gateways = [nodes["gateway-1"], nodes["gateway-2"]]
    with management(nodes["back-office"]) as operator:
        operator.post("/apply", json={"document": DOCUMENT}).raise_for_status()
        issued = operator.post("/apps/shop/credentials").raise_for_status().json()
        revision = operator.post("/diff", json={"document": DOCUMENT}).json()["revision"]
        wait(lambda: [each["revision"] for each in reports(operator)] == [revision] * 4, lambda: str(reports(operator)))
        assert all(set(each["parts"].values()) == {"ok"} for each in reports(operator))
        assert sorted(each["role"] for each in reports(operator)) == ["back-office", "deliveries", "gateway", "gateway"]

    grant = httpx.post(
        f"{gateways[0].url}/oauth2/token", data={"grant_type": "client_credentials"}, auth=(issued["key"], issued["secret"])
    )
    headers = {"Authorization": f"Bearer {grant.json()['access_token']}"}
    # A burst of three for the app, whichever gateway it calls; a token of the one holds at the other.
    calls = [httpx.get(f"{gateways[turn % 2].url}/v1/things", headers=headers) for turn in range(4)]
    assert [call.status_code for call in calls] == [200, 200, 200, 429]
    assert calls[1].json() == {"data": [], "next_cursor": None}

    assert {name: node.end() for name, node in nodes.items()} == dict.fromkeys(nodes, 0)
