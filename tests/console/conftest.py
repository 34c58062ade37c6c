"""A real platform in a temporary folder, its API, and clients of both roles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from console.api.app import create_api
from tests.console.platform_parts import PASSWORD, Platform, open_platform


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_api(platform.control)


@asynccontextmanager
async def logged_in(app: FastAPI, name: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        answer = await client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        yield client


@pytest.fixture
async def operator(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with logged_in(app, "operator") as client:
        yield client


@pytest.fixture
async def viewer(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with logged_in(app, "eve") as client:
        yield client
