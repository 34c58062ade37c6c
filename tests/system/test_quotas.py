"""Quotas on real nodes: kept over a restart and a power cut, exact over two workers with Redis, and what is so without it."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from core.secret import Secret
from tests.gateway.signing import hmac_with, signed_request
from tests.servers.redis import RedisServer
from tests.system.gateway import Gateway, Login
from tests.system.node import eventually

QUOTA = 30
T = TypeVar("T")
ROUTES = {"shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "one"}}
PLANS = {"small": {"per_s": 1000, "burst": 1000, "per_day": QUOTA}}


def _app(gateway: Gateway) -> Login:
    return gateway.app("shop", plans=PLANS, routes=ROUTES, app={"plan": "small"})


def _spend(gateway: Gateway, login: Login, count: int) -> Counter[int]:
    return Counter(gateway.get("/shop/a", login).status_code for _ in range(count))


def _kept(gateway: Gateway) -> int:
    """What is counted in the file of the one worker."""
    file = gateway.node.folder / "quotas-0.msgpack"
    _, counts = msgspec.msgpack.decode(file.read_bytes()) if file.exists() else (0, {})
    return sum(count for _, count, _ in counts.values())


def test_a_quota_outlives_a_restart_and_a_power_cut(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", workers=1)
    try:
        gateway.start()
        login = _app(gateway)
        assert _spend(gateway, login, 10) == {200: 10}
        assert gateway.node.stop() == 0
        gateway.node.start()
        assert _spend(gateway, login, 10) == {200: 10}
        eventually("what was counted is on the disk", lambda: _kept(gateway) == 20)
        os.kill(gateway.workers()[0], signal.SIGKILL)
        assert gateway.get("/healthz").status_code == 200, "who comes while it is dead waits"
        assert _spend(gateway, login, 12) == {200: 10, 429: 2}
        refused = gateway.get("/shop/a", login)
        assert refused.json()["code"] == "quota_used_up"
        assert int(refused.headers["Retry-After"]) > 0
    finally:
        gateway.close()


async def _spent_at_once(gateway: Gateway) -> Counter[int]:
    """Twice the quota of a new app, six requests at a time."""
    login = await asyncio.to_thread(_app, gateway)
    calls = [asyncio.to_thread(_spend, gateway, login, 10) for _ in range(6)]
    return sum(await asyncio.gather(*calls), Counter())


async def _while_redis_answers(redis: RedisServer, look: Callable[[], Awaitable[T]]) -> T:
    """What came of it with no connection to Redis lost: a worker that was not answered within half a second, which a busy machine
    brings about, connects anew and counts alone meanwhile."""
    async with Redis.from_url(redis.url) as asking:
        for _ in range(10):
            before = (await asking.info("stats"))["total_connections_received"]
            found = await look()
            if (await asking.info("stats"))["total_connections_received"] == before:
                return found
    raise AssertionError("Redis never answered every worker in time")


def _repeated(gateway: Gateway, login: Login) -> list[str]:
    """The codes of the same signed request, many times on new connections."""
    made = signed_request(
        url=f"{gateway.url}/usage", sign=hmac_with(login.secret), keyid=login.key, nonce=uuid4().hex, created=int(time.time())
    )
    headers = {name: made.headers[name] for name in ("signature-input", "signature")}
    return [gateway.get("/usage", headers=headers).json().get("code", "") for _ in range(12)]


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
        await asyncio.to_thread(gateway.settle)
        login = await asyncio.to_thread(_app, gateway)
        assert await _while_redis_answers(redis_server, lambda: _spent_at_once(gateway)) == {200: QUOTA, 429: 60 - QUOTA}
        codes = await _while_redis_answers(redis_server, lambda: asyncio.to_thread(_repeated, gateway, login))
        assert codes == [""] + ["replayed"] * 11, "nor is a signature taken by the other worker a second time"
        free = await asyncio.to_thread(lambda: gateway.app("shop"))
        redis_server.kill()
        statuses = await asyncio.to_thread(_spend, gateway, free, 20)
        if when_down == "local":
            assert statuses == {200: 20}
        else:
            assert statuses == {503: 20}
        redis_server.start()
        await asyncio.to_thread(lambda: eventually("all is well again", lambda: _spend(gateway, free, 10) == {200: 10}))
    finally:
        redis_server.start()
        gateway.close()


def _left(gateway: Gateway, login: Login) -> dict[str, dict[str, int]]:
    """What every worker tells alike."""
    told = [answer.json()["quota"] for answer in gateway.on_each_worker("/usage", login.api_key)]
    days = [{name: each["day"][name] for name in ("limit", "used", "remaining")} for each in told]
    assert all(day == days[0] for day in days), days
    assert {each["plan"] for each in told} == {"small"}
    return {"day": days[0], "burst": {name: told[0]["burst"][name] for name in ("limit", "remaining")}}


def _is_told(gateway: Gateway, login: Login) -> None:
    assert _spend(gateway, login, 10) == {200: 10}
    time.sleep(0.3)  # synced: the other worker has been told
    for _ in range(3):
        left = _left(gateway, login)
        assert left["day"] == {"limit": QUOTA, "used": 10, "remaining": QUOTA - 10}, "and asking is not charged"
        assert left["burst"] == {"limit": 1000, "remaining": 1000}
    _spend(gateway, login, 2 * QUOTA)
    assert gateway.get("/shop/a", login).status_code == 429
    assert _left(gateway, login)["day"] == {"limit": QUOTA, "used": QUOTA, "remaining": 0}, "told to an app that may not call"
    midnight = datetime.fromisoformat(gateway.get("/usage", login).json()["quota"]["day"]["resets_at"])
    assert timedelta(0) < midnight - datetime.now(UTC) <= timedelta(days=1)
    assert (midnight.hour, midnight.minute, midnight.second) == (0, 0, 0)


@pytest.mark.req("0.40")
def test_an_app_reads_what_is_left_of_its_plan(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", workers=1)
    try:
        gateway.start()
        _is_told(gateway, _app(gateway))
    finally:
        gateway.close()


@pytest.mark.servers
@pytest.mark.req("0.40")
@pytest.mark.parametrize("limits", ["exact", "synced"])
def test_an_app_reads_from_any_worker_what_all_have_counted(tmp_path: Path, redis_server: RedisServer, limits: str) -> None:
    redis_server.flush()
    gateway = Gateway(tmp_path / "data", workers=2, cache=Secret(redis_server.url), limits=limits, limits_when_down="refuse")
    try:
        gateway.start()
        login = _app(gateway)
        _is_told(gateway, login)
        redis_server.kill()
        eventually("usage is told without the quota", lambda: "quota" not in gateway.get("/usage", login).json())
        assert gateway.get("/usage", login).json()["app"] == login.name
    finally:
        redis_server.start()
        gateway.close()
