"""`zhiyun health` against real nodes: plain and TLS listeners, client certificates, a PROXY header, and a node that is gone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.types import encode
from tests.servers.certificate import Authority
from tests.system.node import ROOT, Node, eventually, settings_for

TLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"tls": True},
    "certificates are asked for": {"tls": True, "tls_clients": "optional"},
    "certificates are required": {"tls": True, "tls_clients": "required"},
    "behind a balancer": {"tls": True, "proxy_protocol": True, "trusted_proxies": ("127.0.0.0/8",)},
}


@pytest.fixture(params=TLS)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    wished = dict(TLS[request.param])
    if wished.pop("tls", False):
        folder = tmp_path / "tls"
        folder.mkdir()
        Authority(tmp_path, "servers").issue(folder, "default", "CN=gateway", "api.example.com")
        wished["tls"] = folder
    if "tls_clients" in wished:
        wished["tls_client_ca"] = Authority(tmp_path, "clients").file
    made = Node(settings_for(tmp_path / "data", **wished))
    try:
        yield made.start()
    finally:
        made.kill()


def _health(node: Node, *words: str) -> tuple[int, Any, str]:
    """As a container runs it: with the node's settings file and nothing else."""
    file = node.folder.with_name("zhiyun.yaml")
    settings = msgspec.to_builtins(node.settings, enc_hook=encode)
    file.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZHIYUN_")}
    command = [sys.executable, "-m", "cli", "health", "--config", str(file), "--json", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {each["name"]: each["ok"] for each in json.loads(done.stdout)["checks"]}, done.stdout + done.stderr


def test_a_node_that_serves_is_healthy_and_one_that_is_gone_is_not(one: Node) -> None:
    status, checks, told = _health(one)
    assert (status, checks) == (0, {"gateway": True, "back office": True}), told
    worker = one.process("server.gateway_process")
    os.kill(worker, signal.SIGSTOP)
    try:
        status, checks, told = _health(one, "--timeout-s", "0.5")
        assert (status, checks["back office"]) == (1, True), told
        assert checks["gateway"] is False, "a worker that hangs is not healthy, although its socket takes connections"
        assert "no answer within 0.5 s" in told
        assert "unhealthy: gateway" in told
    finally:
        os.kill(worker, signal.SIGCONT)
    eventually("it is healthy again", lambda: _health(one)[0] == 0)
    one.kill()
    status, checks, told = _health(one)
    assert (status, checks) == (1, {"gateway": False, "back office": False}), told
    assert "Connection refused" in told


def test_settings_that_are_wrong_are_told(tmp_path: Path) -> None:
    file = tmp_path / "zhiyun.yaml"
    file.write_text("htp: 127.0.0.1:1\n", encoding="utf-8")
    command = [sys.executable, "-m", "cli", "health", "--config", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "did you mean 'http'?" in done.stderr) == (1, True)
