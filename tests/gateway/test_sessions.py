"""Two gateway processes with everything they have of sessions, on one bus and one database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bus.embedded import EmbeddedTransport
from core.clock import epoch_ms
from core.database import Database
from core.ids import new_id
from core.sessions import AppSession
from core.supervise import Tasks
from gateway.sessions import SessionParts, open_sessions
from registry.app_sessions import SqlAppSessions
from storage.sqlite import open_sqlite


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "platform.db")
    yield opened
    await opened.close()


@asynccontextmanager
async def process(folder: Path, database: Database, *, poll_s: float = 3600.0) -> AsyncIterator[SessionParts]:
    """As the composition root does it; no task of it may fail."""
    failures: list[str] = []
    tasks = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    async with AsyncExitStack() as stack:
        bus = EmbeddedTransport(folder / "bus.db")
        await bus.open()
        stack.push_async_callback(bus.close)
        store = SqlAppSessions(database)
        stack.push_async_callback(tasks.close)
        yield await open_sessions(store, bus, tasks, node=new_id(), public_url="http://gateway", poll_s=poll_s)
    assert failures == []


def _session() -> AppSession:
    return AppSession(new_id(), "shop", "ak_1", "", "", "10.0.0.1", epoch_ms(), epoch_ms() + 3_600_000)


@pytest.mark.req("0.38")
async def test_what_one_process_issues_another_ends_for_all_by_the_bus(tmp_path: Path, database: Database) -> None:
    async with process(tmp_path, database) as one, process(tmp_path, database) as two, process(tmp_path, database) as three:
        ended: list[str] = []
        three.revocations.on_revoked(lambda news: ended.extend(each.name for each in news))
        issued = _session()
        one.log.add(issued)
        await two.revoker.session(issued.id, expires_ms=issued.expires_ms, by="li")
        async with asyncio.timeout(60):
            while not all(each.revocations.is_revoked(issued.id, "shop") for each in (one, two, three)):  # noqa: ASYNC110  # as a request asks
                await asyncio.sleep(0.01)
        assert ended == [issued.id]


async def test_the_last_sessions_are_written_when_a_process_ends(tmp_path: Path, database: Database) -> None:
    issued = _session()
    async with process(tmp_path, database) as one:
        await asyncio.sleep(0.01)  # its tasks have begun
        one.log.add(issued)
    assert await SqlAppSessions(database).list() == [issued]


async def test_a_process_that_starts_knows_what_was_revoked_before(tmp_path: Path, database: Database) -> None:
    async with process(tmp_path, database) as one:
        done = await one.revoker.all_of("app", "shop", lifetime_s=3600, by="li")
    async with process(tmp_path, database) as later:
        assert later.revocations.is_revoked(done.last, "shop")
