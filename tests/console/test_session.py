"""Logging in and out, one's own password, and the lock after failures."""

import httpx
from fastapi import FastAPI

from tests.console.platform_parts import PASSWORD


async def test_log_in_and_out(app: FastAPI, viewer: httpx.AsyncClient) -> None:
    assert (await viewer.get("/api/v1/session")).json() == {"name": "eve", "role": "viewer"}
    assert (await viewer.delete("/api/v1/session")).status_code == 204
    assert (await viewer.get("/api/v1/session")).status_code == 401


async def test_one_s_own_password(viewer: httpx.AsyncClient) -> None:
    wrong = await viewer.put("/api/v1/session/password", json={"current": "not it, not it", "new": "fresh password 1"})
    assert wrong.status_code == 401
    done = await viewer.put("/api/v1/session/password", json={"current": PASSWORD, "new": "fresh password 1"})
    assert done.status_code == 200
    assert (await viewer.get("/api/v1/session")).status_code == 401
    viewer.headers["Authorization"] = f"Bearer {done.json()['token']}"
    assert (await viewer.get("/api/v1/session")).json()["name"] == "eve"


async def test_too_many_failures(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        statuses = []
        for _ in range(8):
            answer = await client.post("/api/v1/session", json={"name": "eve", "password": "guess"})
            statuses.append(answer.status_code)
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["code"] == "account_locked"


async def test_problems_speak_chinese(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console", headers={"Accept-Language": "zh-CN"}) as client:
        answer = await client.get("/api/v1/apps")
        assert answer.json()["title"] == "身份未认证"
        assert answer.headers["Content-Language"] == "zh"
