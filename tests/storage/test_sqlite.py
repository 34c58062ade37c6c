"""SQLite through the suite of databases; and what only a file can show: damage, a full disk, no right to write, two processes."""

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from core.database import Database
from core.errors import PlatformError, Unavailable
from storage.sqlite import SqliteDatabase, open_sqlite
from tests.conformance.database_suite import DatabaseSuite, ids, make_table


class TestOnSqlite(DatabaseSuite):
    @pytest.fixture
    def database(self, sqlite: Database) -> Database:
        return sqlite


async def _fill(database: Database, count: int) -> None:
    async with database.transaction() as session:
        await session.executemany("INSERT INTO t (id, b) VALUES (?, ?)", [(f"{n:05d}", b"x" * 500) for n in range(count)])


@pytest.mark.parametrize("length", [16, 100, 5000])
async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, length: int) -> None:
    path = tmp_path / "platform.db"
    path.write_bytes(b"not a database! " * (length // 16) + b"12345")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"platform\.db is damaged or no SQLite database.*restore it") as refused:
        await open_sqlite(path)
    assert refused.value.specific_code == "database_damaged"
    assert path.read_bytes() == before


async def test_damage_in_the_middle_is_told_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    database = await open_sqlite(path)
    await make_table(database)
    await _fill(database, 400)
    await database.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 20] = os.urandom(4096 * 17)
    path.write_bytes(data)
    database = await open_sqlite(path)
    with pytest.raises(Unavailable, match=r"platform\.db is damaged"):
        await database.query("SELECT * FROM t ORDER BY b")
    await database.close()


@contextmanager
def _ordinary_user() -> Iterator[None]:
    """Root may write everywhere: be somebody else meanwhile."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def test_a_folder_without_the_right_to_write_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)  # noqa: ASYNC240
        with _ordinary_user(), pytest.raises(Unavailable, match=r"platform\.db: .*make the folder and the file writable"):
            await open_sqlite(folder / "platform.db")
        folder.chmod(0o755)  # noqa: ASYNC240


async def test_a_full_disk_changes_nothing_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    database = await open_sqlite(path)
    await make_table(database)
    await _fill(database, 10)
    await _limit_pages(database, 20)
    with pytest.raises(Unavailable, match=r"no room is left on the disk of platform\.db: free some, nothing was changed") as caught:
        await _change_and_fill(database)
    assert caught.value.specific_code == "disk_full"
    assert len(await ids(database)) == 10
    assert await database.query("SELECT count(*) FROM t WHERE n = 1") == [(0,)]
    await _limit_pages(database, 1_000_000)
    async with database.transaction() as session:
        await session.execute("INSERT INTO t (id) VALUES (?)", ("after",))
    await database.close()
    with closing(sqlite3.connect(path)) as check:
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _change_and_fill(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute("UPDATE t SET n = 1")
        await session.executemany("INSERT INTO t (id, b) VALUES (?, ?)", [(f"new{n}", b"x" * 5000) for n in range(100)])


async def _limit_pages(database: SqliteDatabase, pages: int) -> None:
    await database.on_writer(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())


_INCREMENT = """
import asyncio, sys
from pathlib import Path
from storage.sqlite import open_sqlite

async def main() -> None:
    database = await open_sqlite(Path(sys.argv[1]))
    for _ in range(60):
        async with database.transaction() as session:
            n = (await session.query("SELECT n FROM t WHERE id = 'counter'"))[0][0]
            await session.execute("UPDATE t SET n = ? WHERE id = 'counter'", (n + 1,))
    await database.close()

asyncio.run(main())
"""


async def test_two_processes_write_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    database = await open_sqlite(path)
    await make_table(database)
    async with database.transaction() as session:
        await session.execute("INSERT INTO t (id, n) VALUES ('counter', 0)")
    program = (sys.executable, "-c", _INCREMENT, str(path))
    processes = [await asyncio.create_subprocess_exec(*program, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [await process.wait() for process in processes] == [0, 0]
    assert await database.query("SELECT n FROM t") == [(120,)]
    await database.close()


async def test_a_wrong_statement_is_not_called_damage(sqlite: Database) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        await sqlite.query("SELECT ?", ())
    with pytest.raises(PlatformError, match="no such table"):
        await sqlite.query("SELECT * FROM nowhere")
