"""The console as a browser meets it: a process of its own, login, the page, preferences, logout."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.console.platform_parts import PASSWORD

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def browser(tmp_path: Path, free_port: int) -> AsyncIterator[httpx.AsyncClient]:
    """Without a user logged in. NiceGUI belongs to its process, so the console gets one."""
    module = "tests.console.serve_sample"
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, str(tmp_path / "data"), str(free_port), cwd=ROOT)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as client:
        for _ in range(900):
            try:
                await client.get("/healthz")
                break
            except httpx.ConnectError:
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield client
    process.terminate()
    await process.wait()


@pytest.mark.req("0.32")
async def test_log_in_look_and_log_out(browser: httpx.AsyncClient) -> None:
    sent_away = await browser.get("/")
    assert (sent_away.status_code, sent_away.headers["Location"]) == (303, "/login")
    assert "Log in" in (await browser.get("/login")).text
    wrong = await browser.post("/login", data={"name": '"><b>x', "password": "wrong"})
    assert wrong.status_code == 401
    assert "wrong" in wrong.text
    assert "<b>x" not in wrong.text
    foreign = await browser.post("/login", data={"name": "eve", "password": PASSWORD}, headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, "set-cookie" in foreign.headers) == (403, False)
    entered = await browser.post("/login", data={"name": "eve", "password": PASSWORD})
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    await _look_at_the_page(browser)
    await _forged_cookie(browser)
    assert (await browser.post("/logout")).headers["Location"] == "/login"
    assert (await browser.get("/")).status_code == 303


async def _look_at_the_page(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.status_code == 200
    for shown in ("SYNC20240510004", "collect-buildings", "127.0.0.1:1 refused the connection", "Health of the parts", "eve"):
        assert shown in page.text
    assert "成交 <deals>" not in page.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    for target in ("/console.css", *set(re.findall(r'(?:src|href)="(/_nicegui/[^"]+)"', page.text))):
        assert (await browser.get(target)).status_code == 200, target
    await browser.get("/preferences", params={"lang": "zh", "theme": "dark"})
    chinese = (await browser.get("/")).text
    assert "采集任务" in chinese
    assert 'theme="dark"' in chinese.replace("\\", "")
    assert (await browser.get("/api/v1/overview")).status_code == 401  # the cookie is the page's, the API wants its token
    assert (await browser.get("/api/v1/nothing")).headers["Content-Type"] == "application/problem+json"


async def _forged_cookie(browser: httpx.AsyncClient) -> None:
    token = browser.cookies["zhiyun_session"]
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    async with httpx.AsyncClient(base_url=browser.base_url, cookies={"zhiyun_session": forged}) as other:
        assert (await other.get("/")).status_code == 303
