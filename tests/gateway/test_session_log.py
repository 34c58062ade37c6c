"""Sessions are written behind the tokens: nothing waits, nothing is lost while the database is down, and memory is bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.clock import epoch_ms
from core.database import Database
from core.errors import Unavailable
from core.ids import new_id
from core.sessions import AppSession
from gateway.session_log import SessionLog
from registry.app_sessions import SqlAppSessions
from storage.sqlite import open_sqlite
from tests.gateway.rig import until
from tests.gateway.session_outage import Interrupted


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "platform.db")
    yield opened
    await opened.close()


def session() -> AppSession:
    return AppSession(new_id(), "shop", "ak_1", "", "", "10.0.0.1", epoch_ms(), epoch_ms() + 60_000)


async def _eventually(sessions: SqlAppSessions, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await sessions.list(limit=10_000)) != count:  # noqa: ASYNC110  # what is stored has no event
            await asyncio.sleep(0.02)


async def test_what_was_issued_is_soon_listed(database: Database) -> None:
    sessions = SqlAppSessions(database)
    log = SessionLog(sessions, interval_s=0.02)
    running = asyncio.ensure_future(log.run())
    for _ in range(1200):  # more than one batch
        log.add(session())
    await _eventually(sessions, 1200)
    await until(lambda: len(log) == 0)
    assert log.dropped == 0
    log.add(session())
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert len(await sessions.list(limit=10_000)) == 1201  # the last ones are written at the end


async def test_while_the_database_is_down_the_newest_wait_and_the_others_are_counted(database: Database) -> None:
    store = Interrupted(database)
    log = SessionLog(store, max_waiting=5, interval_s=0.02)
    issued = [session() for _ in range(8)]
    for each in issued:
        log.add(each)
    with pytest.raises(Unavailable):
        await log.flush()
    assert (len(log), log.dropped) == (5, 3)
    running = asyncio.ensure_future(log.run())
    await asyncio.sleep(0.1)
    store.is_down = False
    await _eventually(store, 5)
    assert {each.id for each in await store.list()} == {each.id for each in issued[3:]}
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_what_is_dropped_while_a_batch_is_written_is_not_written_twice_and_takes_nothing_along(database: Database) -> None:
    sessions = SqlAppSessions(database)
    log = SessionLog(sessions, max_waiting=4)
    for _ in range(4):
        log.add(session())
    writing = asyncio.ensure_future(log.flush())
    await asyncio.sleep(0)
    later = [session() for _ in range(3)]
    for each in later:
        log.add(each)
    await writing
    assert len(log) == 0
    assert {each.id for each in later} <= {each.id for each in await sessions.list()}
