"""Tables made at the first use."""

from pathlib import Path

import pytest

from core.database import Session
from core.errors import Unavailable
from registry.tables import Tables
from storage.sqlite import open_sqlite


async def test_a_reader_finds_the_tables_without_waiting_for_a_writer(tmp_path: Path) -> None:
    async def make(session: Session) -> None:
        await session.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")

    first, second = await open_sqlite(tmp_path / "t.db"), await open_sqlite(tmp_path / "t.db")
    await Tables(first, "t", make).ready()
    async with first.transaction() as writing:
        await writing.execute("INSERT INTO t (a) VALUES (1)")
        await Tables(second, "t", make).ready()
    await first.close()
    await second.close()


async def test_what_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    attempts = []

    async def make(session: Session) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise Unavailable("the disk is full")
        await session.execute("CREATE TABLE t (a INTEGER)")

    database = await open_sqlite(tmp_path / "t.db")
    tables = Tables(database, "t", make)
    with pytest.raises(Unavailable, match="full"):
        await tables.ready()
    await tables.ready()
    await tables.ready()
    assert len(attempts) == 2
    await database.close()
