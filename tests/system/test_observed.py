"""What a node tells of the requests it served: usage, metrics, the access log; and what it never tells."""

import json
import os
import re
import signal
from typing import Any

import httpx
import pytest

from tests.system.gateway import Gateway, Login
from tests.system.node import eventually

REQUESTS = 12


@pytest.fixture(scope="module")
def seen(gateway: Gateway) -> Login:
    """An app whose requests are to be seen: twelve good ones and one that found nothing."""
    login = gateway.app("seen", routes={"seen": {"match": {"path": "/seen/{rest...}"}, "upstream": "one"}})
    for number in range(REQUESTS):
        answer = gateway.call("POST", f"/seen/{number}?token=hidden-value", login, content=b"x" * 10)
        assert answer.status_code == 200
    assert gateway.call("POST", "/seen/0", headers={"X-Api-Key": f"{login.key}.wrong-secret"}).status_code == 401
    assert gateway.get("/usage", headers={"Authorization": f"Bearer {gateway.token(login)}"}).status_code == 200
    return login


def _used(items: list[dict[str, Any]]) -> tuple[int, int, int]:
    mine = [each for each in items if each["route"] == "seen"]
    requests, errors, taken = (sum(each[field] for each in mine) for field in ("requests", "errors", "bytes_in"))
    return requests, errors, taken


@pytest.mark.req("0.40")
@pytest.mark.req("0.32")
def test_an_app_reads_its_own_usage_and_an_operator_everybodys(gateway: Gateway, seen: Login) -> None:
    wanted = (REQUESTS, 0, REQUESTS * 10)
    eventually("both workers have told", lambda: _used(gateway.get("/usage", seen).json()["items"]) == wanted)
    other = gateway.app("seen")
    assert gateway.get("/usage", other).json()["items"] == [], "nobody else's"
    with gateway.node.operator() as operator:
        assert _used(operator.get("/usage", params={"app": seen.name}).json()["items"]) == wanted
        assert operator.get("/usage", params={"app": "nobody"}).status_code == 404
    assert re.search(rf"seen\s+{REQUESTS}\s+0\s+0\s+{REQUESTS * 10}\b", gateway.cli("usage", seen.name))


def _counted(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _scraped(gateway: Gateway) -> tuple[str, str]:
    """By the console, which asks for a login, and by the gateway's own port."""
    own = httpx.get(f"http://{gateway.node.settings.metrics}/metrics")
    with gateway.node.operator() as operator:
        console = operator.get("/metrics")
        if console.status_code != 200:
            token = {"Authorization": operator.headers["Authorization"]}
            console = httpx.get(f"http://{gateway.node.settings.console}/metrics", headers=token)
    assert (own.status_code, console.status_code) == (200, 200), console.text
    return own.text, console.text


@pytest.mark.req("0.32")
def test_counters_by_route_and_app_outlive_a_killed_worker(gateway: Gateway, seen: Login) -> None:
    by_route = 'zhiyun_gateway_requests_total{route="seen",status="2xx"}'
    by_app = f'zhiyun_gateway_app_requests_total{{app="{seen.name}",status="2xx"}}'
    timed = 'zhiyun_gateway_request_seconds_count{route="seen"}'
    refused = 'zhiyun_gateway_refused_total{code="key_invalid"}'

    def told(text: str) -> bool:
        # The twelve and the refused one may be of different workers, which write a second apart.
        has_counted = _counted(text, by_route) >= REQUESTS and _counted(text, refused) >= 1
        return has_counted and _counted(text, "zhiyun_gateway_workers") == 2

    for text in eventually("both workers have written", lambda: found if all(map(told, found := _scraped(gateway))) else ()):
        assert _counted(text, by_app) >= REQUESTS
        assert _counted(text, timed) >= REQUESTS
        assert _counted(text, 'zhiyun_gateway_request_seconds_bucket{route="seen",le="+Inf"}') == _counted(text, timed)
        assert seen.secret not in text
    before = {sample: _counted(_scraped(gateway)[0], sample) for sample in (by_route, by_app, timed)}
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    gateway.settle()
    assert {sample: _counted(_scraped(gateway)[0], sample) for sample in before} == before, "no counter went back"
    assert gateway.get("/seen/again", seen).status_code == 200
    eventually("it goes on from there", lambda: _counted(_scraped(gateway)[0], by_route) == before[by_route] + 1)


@pytest.mark.req("0.40")
def test_each_request_is_a_line_and_no_secret_is_in_any(gateway: Gateway, seen: Login) -> None:
    files = list(gateway.node.folder.rglob("access-*.log"))
    assert len(files) == 2, "one for each worker"

    def lines() -> list[dict[str, Any]]:
        # What follows the last end of a line is still being written.
        found = [json.loads(line) for file in files for line in file.read_text().split("\n")[:-1]]
        return [
            line for line in found if line["path"].startswith("/seen/") and line["app"] == seen.name and line["method"] == "POST"
        ]

    eventually("all are written", lambda: len(lines()) == REQUESTS)
    for line in lines():
        assert (line["client"], line["route"], line["status"], line["in"], line["error"]) == ("127.0.0.1", "seen", 200, 10, "")
        assert "?" not in line["path"], "a query may be personal or secret"
        assert line["upstream"], line
        assert 0 < line["upstream_us"] <= line["us"] < 20_000_000
        assert len(line["id"]) == 20
        assert re.fullmatch("[0-9a-f]{32}", line["trace"])
    token = gateway.token(seen)
    gateway.get("/seen/by-token", headers={"Authorization": f"Bearer {token}"})
    eventually("it too", lambda: any("/seen/by-token" in file.read_text() for file in files))
    written = [path for path in gateway.node.folder.rglob("*") if path.is_file() and path.suffix in (".log", ".msgpack", ".1")]
    for path in (*written, gateway.node.log):
        text = path.read_bytes()
        for secret in (seen.secret, token, token.rpartition(".")[2], "hidden-value", "wrong-secret"):
            assert secret.encode() not in text, path
