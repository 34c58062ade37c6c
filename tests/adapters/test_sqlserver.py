"""SQL Server through Microsoft's own ODBC driver, over the wire to a TDS server on a SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from adapters.sqlserver import ADAPTER
from adapters.sqlserver_driver import Settings
from core.adapter import Adapter
from core.errors import InvalidInput, NotFound, PlatformError, Unavailable
from core.records import Payload
from core.schema import Dataset
from core.secret import Secret
from examples.estate.wire.tds import serve_tds
from tests.conformance.adapter_suite import (
    ConnectionSuite,
    LookupSuite,
    Person,
    SourceSuite,
    WriterSuite,
    crowd,
    decode_rows,
    decoded,
    opened,
    people,
    read_transactions,
)
from tests.servers.ports import free_port

PASSWORD = "Se;cr{e}t}1"  # every character that a connection string could trip over
TABLE = (
    "CREATE TABLE Person ([Number] int NOT NULL PRIMARY KEY, [Full Name] nvarchar(50) NULL,"
    " Amount decimal(18,2) NULL, ChangedAt datetime2(3) NULL)"
)


class EstateHarness:
    """A table `Person` in a SQLite file that speaks TDS."""

    adapter: Adapter = ADAPTER

    def __init__(self, file: Path, port: int) -> None:
        self._file = file
        self.settings = Settings(
            host="127.0.0.1", port=port, database="Sales", user="reader", password=Secret(PASSWORD), encrypt=False
        )
        self.wrong_password = replace(self.settings, password=Secret("not it"))
        self.unreachable = replace(self.settings, port=free_port(), connect_timeout_s=2)
        self.dataset = people("dbo.Person", names=("Number", "Full Name", "Amount", "ChangedAt"))
        self.missing: Dataset | None = replace(self.dataset, object="no_such_table")

    async def put(self, people: Sequence[Person]) -> None:
        rows = [(row.number, row.name, row.amount, row.changed_at.replace("T", " ")) for row in people]
        self.execute("INSERT OR REPLACE INTO Person VALUES (?, ?, ?, ?)", rows)

    def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        with closing(sqlite3.connect(self._file)) as database, database:
            database.executemany(sql, rows)

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@asynccontextmanager
async def estate(folder: Path, port: int) -> AsyncIterator[EstateHarness]:
    file = folder / "sales.db"
    if not file.exists():
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(TABLE)
    async with await serve_tds(file, host="127.0.0.1", port=port, users={"reader": PASSWORD}):
        yield EstateHarness(file, port)


@pytest.fixture
async def harness(tmp_path: Path, free_port: int) -> AsyncIterator[EstateHarness]:
    async with estate(tmp_path, free_port) as made:
        yield made


@pytest.mark.req("0.46")
class TestSqlServer(ConnectionSuite, SourceSuite, LookupSuite, WriterSuite):
    """The conformance suites against the estate's sales system."""


async def test_a_server_that_restarts_is_found_again_without_an_error(tmp_path: Path, free_port: int) -> None:
    async with estate(tmp_path, free_port) as harness, opened(harness) as source:
        await harness.put(crowd(1, 3))
        await asyncio.gather(source.check(), source.check(), source.check())
    async with estate(tmp_path, free_port) as harness, opened(harness) as source:
        await source.check()
        harness_again = harness
    assert harness_again.settings.port == free_port
