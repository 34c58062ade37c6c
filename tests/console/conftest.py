"""A real Control: the parts of a back office on SQLite and the embedded bus in a temporary folder, without its loops."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from config.settings import Settings
from console.api.app import create_api
from console.api.control import Control
from core.clock import SystemClock
from core.secret import Secret
from core.supervise import Tasks
from exchange.jobs import JobRunner, datasets_of
from exchange.replay import Replay
from registry.credentials import Credentials
from registry.passwords import Passwords
from registry.registry import Registry
from registry.snapshot import build_snapshot
from registry.users import Users
from server.parts import Parts, open_parts
from server.sources import SourcePool

PASSWORD = "a long enough password"


@dataclass
class Platform:
    """The control, what stands behind it, and a way to let jobs and sources see what was declared."""

    control: Control
    parts: Parts
    pool: SourcePool
    runner: JobRunner
    replay_datasets: dict[str, object]

    async def reload(self) -> None:
        """As the back office does with each snapshot."""
        snapshot = await build_snapshot(self.parts.resources, self.parts.vault, self.parts.adapters)
        self.pool.reload(snapshot.platform)
        self.runner.reload(snapshot.platform)
        self.replay_datasets.update(datasets_of(snapshot.platform))


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=tmp_path / "data", master_key=Secret("k" * 44), public_url="http://127.0.0.1:8080")
        parts = await open_parts(settings, stack, role="back-office")
        # The cheapest argon2: what it costs is tested with the registry.
        users = Users(parts.resources, parts.database, passwords=Passwords(PasswordHasher(1, 8, 1)))
        failures: list[str] = []
        tasks = Tasks(lambda task, error: failures.append(f"{task}: {error!r}"))
        stack.push_async_callback(tasks.close)
        pool = SourcePool(parts.adapters, SystemClock(), tasks)
        stack.push_async_callback(pool.close)
        runner = JobRunner(
            connections=pool.get,
            bus=parts.bus,
            states=parts.job_states,
            quarantine=parts.quarantine,
            tasks=tasks,
            clock=SystemClock(),
            owner="test",
        )
        datasets: dict[str, object] = {}
        control = Control(
            registry=Registry(parts.resources, parts.vault, parts.adapters),
            credentials=Credentials(parts.resources, parts.vault),
            users=users,
            job_states=parts.job_states,
            quarantine=parts.quarantine,
            nodes=parts.nodes,
            mirror=parts.mirror,
            bus=parts.bus,
            jobs=runner,
            sources=pool,
            quarantine_replay=Replay(parts.quarantine, parts.bus, lambda: datasets),  # type: ignore[arg-type,return-value]
            parts=parts,
            gateway_url=settings.public_url,
            version="0.1.0",
            adapters=parts.adapters,
        )
        await users.create("operator", Secret(PASSWORD), "operator", actor="test")
        await users.create("eve", Secret(PASSWORD), "viewer", actor="test")
        yield Platform(control, parts, pool, runner, datasets)
        assert failures == []


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
