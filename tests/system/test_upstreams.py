"""Upstream servers that die, come back and fail, behind a node of two workers; and the response cache before them."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.gateway import Gateway, Login, worker_of
from tests.system.node import eventually
from tests.system.upstream import Upstream


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Upstream]]:
    left, right = Upstream("left").start(), Upstream("right").start()
    yield left, right
    left.kill()
    right.kill()


@pytest.fixture(scope="module")
def pair(gateway: Gateway, servers: tuple[Upstream, Upstream]) -> Login:
    endpoints = [{"url": each.url} for each in servers]
    active = {"every_s": 0.3, "timeout_s": 5.0, "unhealthy": 2, "healthy": 1}
    upstreams: dict[str, Any] = {
        "pair": {"endpoints": endpoints, "active": active},
        "fragile": {
            "endpoints": endpoints[:1],
            "breaker": {"failures": 3, "open_s": 10.0},
            "passive": None,
            "retries": {"attempts": 1},
        },
    }
    routes = {
        "pair": {"match": {"path": "/pair/{rest...}"}, "upstream": "pair"},
        "fragile": {"match": {"path": "/fragile/{rest...}"}, "upstream": "fragile"},
        "kept": {
            "match": {"path": "/kept/{rest...}"},
            "upstream": "fragile",
            "policies": {"cache": {"ttl_s": 30, "stale_if_error_s": 300}},
        },
    }
    return gateway.app("pair", "fragile", "kept", upstreams=upstreams, routes=routes)


def _servers(gateway: Gateway, pair: Login, count: int = 20) -> Counter[str]:
    answers = [gateway.get("/pair/a", pair) for _ in range(count)]
    assert [each.status_code for each in answers] == [200] * count, [each.text for each in answers if each.status_code != 200]
    return Counter(each.json()["server"] for each in answers)


@pytest.mark.req("0.02")
@pytest.mark.req("0.30")
def test_a_server_that_dies_is_replaced_by_the_other_and_comes_back(
    gateway: Gateway, pair: Login, servers: tuple[Upstream, Upstream]
) -> None:
    left, _ = servers
    eventually("both serve", lambda: set(_servers(gateway, pair)) == {"left", "right"})
    left.kill()
    assert _servers(gateway, pair) == {"right": 20}, "tried again elsewhere, from the first request on"
    left.start()
    eventually("the probe has brought it back", lambda: _servers(gateway, pair)["left"] > 5)


@pytest.mark.req("0.02")
def test_the_breaker_spares_an_upstream_that_fails(gateway: Gateway, pair: Login, servers: tuple[Upstream, Upstream]) -> None:
    left, _ = servers
    left.kill()
    try:
        spared: set[str] = set()  # by these workers

        def is_spared_by_both() -> bool:
            answer = gateway.get("/fragile/a", pair)
            code = answer.json()["code"]
            assert code in ("not_connected", "upstream_failed", "upstream_open")
            if code == "upstream_open":
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) >= 1
                spared.add(worker_of(answer))
            return len(spared) == 2

        eventually("both workers have opened it", is_spared_by_both)
    finally:
        left.start()
    eventually(
        "both have closed it again",
        lambda: all(each.status_code == 200 for each in gateway.on_each_worker("/fragile/a", pair.api_key)),
    )


@pytest.mark.req("0.29")
def test_answers_are_kept_and_outlive_their_upstream(gateway: Gateway, pair: Login, servers: tuple[Upstream, Upstream]) -> None:
    left, _ = servers
    answers = [gateway.get("/kept/cached?s=600", pair) for _ in range(10)]
    verdicts = Counter(each.headers["X-Cache"] for each in answers)
    assert set(verdicts) <= {"hit", "miss"}
    assert 1 <= verdicts["miss"] <= 2, "each worker asks once"
    assert left.by_path["/kept/cached"] == verdicts["miss"]
    other = gateway.app("kept")
    assert gateway.get("/kept/cached?s=600", other).headers["X-Cache"] == "miss", "each app has its own copy"
    gateway.on_each_worker("/kept/cached?s=2", pair.api_key)
    left.kill()
    try:

        def stale() -> bool:
            found = [gateway.get("/kept/cached?s=2", pair) for _ in range(4)]
            assert {each.status_code for each in found} == {200}
            return {each.headers["X-Cache"] for each in found} == {"stale"}

        eventually("two seconds later it is stale, and better than nothing", stale)
        assert gateway.get("/kept/never-asked", pair).status_code in (502, 503)
    finally:
        left.start()


def _kept(gateway: Gateway, login: Login, path: str) -> None:
    """Until every worker has an answer."""

    def verdicts() -> bool:
        return {each.headers["X-Cache"] for each in gateway.on_each_worker(path, login.api_key)} == {"hit"}

    eventually(f"every worker keeps {path}", verdicts, within_s=20)


@pytest.mark.req("0.29")
def test_a_purge_reaches_every_worker(gateway: Gateway, pair: Login) -> None:
    routes = {
        name: {"match": {"path": f"/{name}/{{rest...}}"}, "upstream": "one", "policies": {"cache": {"ttl_s": 600}}}
        for name in ("shelf", "stock")
    }
    login = gateway.app("shelf", "stock", routes=routes)
    paths = ("/shelf/a/1", "/shelf/b/1", "/stock/a/1")
    for path in paths:
        _kept(gateway, login, path)

    def counts() -> list[int]:
        """How often the upstream was asked, once every worker keeps all answers."""
        for path in paths:
            _kept(gateway, login, path)
        return [gateway.upstream.by_path[path] for path in paths]

    before = counts()
    gateway.cli("cache", "purge", "shelf", "--prefix", "/shelf/a")
    time.sleep(1.0)
    after = counts()
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 0, 0], "each of two workers has asked again"
    gateway.cli("cache", "purge", "shelf")
    time.sleep(1.0)
    assert [now - then for now, then in zip(counts(), after, strict=True)] == [2, 2, 0]
