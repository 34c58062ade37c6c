"""Quotas on real nodes: kept over a restart and a power cut, exact over two workers with Redis, and what is so while Redis is down."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from core.secret import Secret
from tests.servers.redis import RedisServer
from tests.system.gateway import Gateway, Login
from tests.system.node import eventually

QUOTA = 30
ROUTES = {"shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "one"}}
PLANS = {"small": {"per_s": 1000, "burst": 1000, "per_day": QUOTA}}


def _app(gateway: Gateway) -> Login:
    return gateway.app("shop", plans=PLANS, routes=ROUTES, app={"plan": "small"})


def _spend(gateway: Gateway, login: Login, count: int) -> Counter[int]:
    return Counter(gateway.get("/shop/a", login).status_code for _ in range(count))


def test_a_quota_outlives_a_restart_and_a_power_cut(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", workers=1)
    try:
        gateway.start()
        login = _app(gateway)
        assert _spend(gateway, login, 10) == {200: 10}
        assert gateway.node.stop() == 0
        gateway.node.start()
        assert _spend(gateway, login, 10) == {200: 10}
        time.sleep(2.5)  # what is older than two seconds is on the disk
        os.kill(gateway.workers()[0], signal.SIGKILL)
        eventually("it is back", lambda: gateway.get("/healthz").status_code == 200)
        assert _spend(gateway, login, 12) == {200: 10, 429: 2}
        refused = gateway.get("/shop/a", login)
        assert refused.json()["code"] == "quota_used_up"
        assert int(refused.headers["Retry-After"]) > 0
    finally:
        gateway.close()


@pytest.mark.servers
@pytest.mark.req("0.30")
@pytest.mark.parametrize("when_down", ["local", "refuse"])
async def test_a_quota_is_exact_over_two_workers_and_an_outage_of_redis_is_no_refusal_of_rights(
    tmp_path: Path, redis_server: RedisServer, when_down: str
) -> None:
    redis_server.flush()
    gateway = Gateway(tmp_path / "data", workers=2, cache=Secret(redis_server.url), limits="exact", limits_when_down=when_down)
    try:
        await asyncio.to_thread(gateway.start)
        login = await asyncio.to_thread(_app, gateway)
        calls = [asyncio.to_thread(_spend, gateway, login, 10) for _ in range(6)]
        total: Counter[int] = sum(await asyncio.gather(*calls), Counter())
        assert total == {200: QUOTA, 429: 60 - QUOTA}, "not one more or less"
        free = await asyncio.to_thread(lambda: gateway.app("shop"))
        redis_server.kill()
        statuses = await asyncio.to_thread(_spend, gateway, free, 20)
        if when_down == "local":
            assert statuses == {200: 20}
        else:
            assert statuses == {503: 20}
        redis_server.start()
        await asyncio.to_thread(
            lambda: eventually("all is well again", lambda: _spend(gateway, free, 10) == {200: 10}, within_s=20)
        )
    finally:
        redis_server.start()
        gateway.close()
