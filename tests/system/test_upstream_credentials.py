"""A credential for the system behind a route, on a real node: the upstream gets it, nobody else ever sees it, and it is rotated."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system.gateway import Gateway
from tests.system.node import ROOT

FIRST, SECOND = "Basic c2VjcmV0LW9uZQ==", "Basic c2VjcmV0LXR3bw=="
FILE = """\
version: 1
upstreams: {one: {endpoints: [{url: "${ONE}"}]}}
routes:
  billing:
    match: {path: "/billing/{rest...}"}
    upstream: one
    policies:
      transform: {request_headers: {secret: {Authorization: env:BILLING_LOGIN}}}
"""


def _cli(gateway: Gateway, file: Path, command: str, **variables: str) -> tuple[int, str]:
    environment = {**os.environ, "ZHIYUN_DATA_DIR": str(gateway.node.folder), "ONE": gateway.upstream.url, **variables}
    words = [sys.executable, "-m", "cli", command, "-f", str(file)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def _applied(gateway: Gateway, file: Path, login: str) -> str:
    status, told = _cli(gateway, file, "apply", BILLING_LOGIN=login)
    assert status == 0, told
    gateway.settle()
    return told


def _told(gateway: Gateway, made: Path) -> dict[str, str]:
    """Whatever the node tells an operator, or leaves on the disk."""
    paths = ("routes", "routes/billing", "audit", "export", "/openapi.json")
    told: dict[str, str] = {}
    with gateway.node.operator() as operator:
        told |= {path: operator.get(path).text for path in paths}
    told["cli export"], told["cli diff"] = gateway.cli("export"), _cli(gateway, made, "diff", BILLING_LOGIN="Basic other")[1]
    for path in gateway.node.folder.rglob("*"):
        if path.is_file():
            told[path.name] = path.read_bytes().decode("latin-1")
    return told


def test_a_credential_reaches_the_upstream_and_nobody_else(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "billing.yaml"
    file.write_text(FILE, encoding="utf-8")
    status, told = _cli(gateway, file, "apply")
    assert (status, "billing.yaml:8" in told, "environment variable BILLING_LOGIN is not set" in told) == (1, True, True), told
    outputs = [_applied(gateway, file, FIRST)]
    login = gateway.app("billing")

    def sent() -> set[Any]:
        answers = gateway.on_each_worker("/billing/a", login.api_key)
        return {each.json()["headers"]["authorization"] for each in answers}

    assert sent() == {FIRST}
    outputs.append(_applied(gateway, file, SECOND))
    assert "~ route billing" in outputs[-1]
    assert sent() == {SECOND}, "with the next snapshot, on every worker"
    with gateway.node.operator() as operator:
        body = operator.get("routes/billing").json()["body"]
        assert body["policies"]["transform"]["request_headers"]["secret"] == {"Authorization": "***"}
        assert operator.put("routes/billing", json={**body, "title": "Billing"}).status_code == 200, "*** keeps it"
    gateway.settle()
    assert sent() == {SECOND}
    told_by = _told(gateway, file) | dict(enumerate(outputs))
    assert json.loads(told_by["export"])["routes"]["billing"]["title"] == "Billing"
    assert [name for name, text in told_by.items() if FIRST in text or SECOND in text or "c2VjcmV0" in text] == []
