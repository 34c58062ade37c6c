"""Group commit: overlapping work shares a transaction, a refusal stays alone, a fault is told to all it concerns."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.group_commit import GroupCommit, Work
from core.errors import Conflict, InvalidInput, NotConnected, Unavailable
from core.supervise import Tasks


def _create(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE t (n INTEGER, moment INTEGER)")


@pytest.fixture
async def commits(tmp_path: Path) -> AsyncIterator[GroupCommit]:
    failures: list[BaseException] = []
    writer = GroupCommit(tmp_path / "bus.db", Tasks(lambda _, error: failures.append(error)))
    await writer.open(_create)
    yield writer
    await writer.close()
    assert failures == []


def _insert(number: int) -> Work[int]:
    return lambda db: db.execute("INSERT INTO t VALUES (?, 0)", (number,)).rowcount


async def _numbers(commits: GroupCommit) -> list[int]:
    return await commits.run(lambda db: [row[0] for row in db.execute("SELECT n FROM t ORDER BY rowid")], is_synced=False)


async def test_overlapping_calls_keep_their_order(commits: GroupCommit) -> None:
    await asyncio.gather(*(commits.run(_insert(number), is_synced=number % 3 == 0) for number in range(1_500)))
    assert await _numbers(commits) == list(range(1_500))


async def test_overlapping_calls_are_far_fewer_commits(commits: GroupCommit, tmp_path: Path) -> None:
    watcher = sqlite3.connect(tmp_path / "bus.db")
    before = watcher.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    await asyncio.gather(*(commits.run(_insert(number), is_synced=True) for number in range(400)))
    after = watcher.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    watcher.close()
    assert after - before < 100  # each commit writes a page of the log at least


async def test_a_refusal_stays_alone(commits: GroupCommit) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise Conflict("not this one")

    outcomes = await asyncio.gather(
        commits.run(_insert(1), is_synced=True),
        commits.run(refuse, is_synced=True),
        commits.run(_insert(2), is_synced=True),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], Conflict)
    assert await _numbers(commits) == [1, 2]


async def test_one_that_cannot_be_stored_fails_alone_and_once(commits: GroupCommit) -> None:
    def too_large(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES (7, 7)")
        db.execute("SELECT zeroblob(2000000000)").fetchone()

    outcomes = await asyncio.gather(
        commits.run(_insert(1), is_synced=True),
        commits.run(too_large, is_synced=True),
        commits.run(_insert(2), is_synced=True),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], InvalidInput)
    assert await _numbers(commits) == [1, 2]


async def test_a_cancelled_caller_leaves_the_others(commits: GroupCommit) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(commits.run(_insert(1), is_synced=True))
        second = group.create_task(commits.run(_insert(2), is_synced=True))
        await asyncio.sleep(0)
        first.cancel()
    assert second.result() == 1
    assert await _numbers(commits) == [1, 2]


async def test_a_file_locked_by_another_is_told_to_all(
    commits: GroupCommit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commits.run(lambda db: db.execute("PRAGMA busy_timeout = 50").fetchall(), is_synced=False)
    other = sqlite3.connect(tmp_path / "bus.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(*(commits.run(_insert(n), is_synced=True) for n in range(50)), return_exceptions=True)
    other.close()
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert "locked" in str(outcomes[0])
    assert await _numbers(commits) == []


async def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    writer = GroupCommit(tmp_path / "bus.db", Tasks(lambda _, error: None))
    await writer.open(lambda db: None)
    await writer.close()
    await writer.close()
    with pytest.raises(NotConnected):
        await writer.run(lambda db: None, is_synced=True)
