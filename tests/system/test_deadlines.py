"""One deadline over a chain: a client, a node of two workers that asks itself as the next gateway, and a slow upstream."""

import time

import pytest

from tests.system.gateway import Gateway


@pytest.fixture(scope="module")
def chain(gateway: Gateway) -> Gateway:
    upstreams = {"next": {"endpoints": [{"url": gateway.url}], "breaker": {"failures": 3, "open_s": 30.0}}}
    first = {"match": {"path": "/first/{rest...}"}, "upstream": "next", "strip": 1, "prefix": "/second", "anonymous": True}
    second = {"match": {"path": "/second/{rest...}"}, "upstream": "one", "anonymous": True, "policies": {"timeout_s": 5.0}}
    gateway.apply(upstreams=upstreams, routes={"first": first, "second": second})
    return gateway


def _within(gateway: Gateway, path: str, timeout_ms: int) -> tuple[int, str, float]:
    started = time.monotonic()
    answer = gateway.get(path, headers={"X-Zhiyun-Timeout-Ms": str(timeout_ms)})
    return answer.status_code, answer.headers.get("content-type", "") and answer.json().get("code", ""), time.monotonic() - started


def test_a_client_s_deadline_bounds_the_whole_chain(chain: Gateway) -> None:
    asked = chain.get("/first/echo", headers={"X-Zhiyun-Timeout-Ms": "3000"})
    assert asked.status_code == 200, asked.text
    left_ms = int({name.lower(): value for name, value in asked.json()["headers"].items()}["x-zhiyun-timeout-ms"])
    assert 2000 < left_ms <= 3000, "the upstream behind both is told what is left of it, not the 5 s of its route"
    for _ in range(10):
        status, code, took_s = _within(chain, "/first/slow?s=4", 300)
        assert (status, code) == (504, "deadline_exceeded")
        assert 0.25 < took_s < 1.5
    status, _, took_s = _within(chain, "/first/slow?s=0.1", 60_000)
    assert status == 200, "no breaker has opened: the upstreams did nothing wrong"
    assert took_s < 3


@pytest.mark.parametrize(("given", "status", "code"), [("0", 504, "deadline_exceeded"), ("soon", 400, "deadline_malformed")])
def test_a_deadline_that_is_over_or_none_never_reaches_an_upstream(chain: Gateway, given: str, status: int, code: str) -> None:
    before = chain.upstream.requests
    answer = chain.get("/first/echo", headers={"X-Zhiyun-Timeout-Ms": given})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert chain.upstream.requests == before
