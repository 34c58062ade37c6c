"""SQL Server through Microsoft's own ODBC driver, over the wire to a TDS server on a SQLite file."""

import asyncio
import os
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import closing, suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest
from msgspec.structs import replace

from adapters.sqlserver import ADAPTER
from adapters.sqlserver_driver import Settings, connection_string, load_pyodbc
from core.adapter import Adapter
from core.errors import InvalidInput, NotConnected, NotFound, PlatformError, Unavailable
from core.records import Cursor, Payload, Rows, Transaction
from core.schema import Dataset, Field, Record
from core.secret import Secret
from examples.estate.wire.tds import serve_tds
from tests.conformance.adapter_suite import (
    ConnectionSuite,
    DescribesSuite,
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


SERVER = """
import asyncio, sys
from pathlib import Path
from examples.estate.wire.tds import serve_tds

async def main(file: str, port: str, password: str) -> None:
    server = await serve_tds(Path(file), host="127.0.0.1", port=int(port), users={"reader": password})
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main(*sys.argv[1:]))
"""


async def start_server(folder: Path, port: int) -> Process:
    """The TDS server as a process of its own, so that it can be killed as a server is."""
    make_database(folder)
    program = (sys.executable, "-c", SERVER, str(folder / "Sales.db"), str(port), PASSWORD)
    server = await asyncio.create_subprocess_exec(*program, stdout=PIPE, cwd=Path(__file__).parents[2])
    assert server.stdout is not None
    assert await asyncio.wait_for(server.stdout.readline(), 60) == b"ready\n"
    return server


async def stop(server: Process) -> None:
    server.kill()
    await server.communicate()


def make_database(folder: Path) -> Path:
    file = folder / "Sales.db"
    if not file.exists():
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(TABLE)
    return file


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[EstateHarness]:
    file = make_database(tmp_path)
    async with await serve_tds(file, host="127.0.0.1", port=0, users={"reader": PASSWORD}) as server:
        yield EstateHarness(file, server.sockets[0].getsockname()[1])


@pytest.mark.req("0.46")
class TestSqlServer(ConnectionSuite, SourceSuite, DescribesSuite, LookupSuite, WriterSuite):
    """The conformance suites against the estate's sales system."""


async def test_a_full_load_is_in_the_order_of_the_key_and_ends_with_where_increments_begin(harness: EstateHarness) -> None:
    await harness.put([*crowd(1, 2, minute=9), *crowd(3, 3)])
    high = "2024-05-10T08:09:00.123"
    async with opened(harness) as source:
        first, second, last = await read_transactions(source, harness.dataset, batch_rows=2)
        assert [row.number for row in decoded(harness, [first, second, last])] == [1, 2, 3, 4, 5]
        assert first.cursor == {"full": {"after": [2], "high": high}}
        assert second.cursor == {"full": {"after": [4], "high": high}}
        assert last.cursor == {"cursor": high, "key": None}
        rest = await read_transactions(source, harness.dataset, first.cursor, batch_rows=2)
        assert [row.number for row in decoded(harness, rest)] == [3, 4, 5, 1, 2]  # and the increment at once
        estimates = [await source.estimate(harness.dataset, each.cursor) for each in (first, last)]
        assert estimates == [5, 2]


async def test_the_cursor_is_json_and_exact_to_the_row(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 6))
    async with opened(harness) as source:
        beginning: Cursor = {"cursor": "2024-05-10T08:00:00.000", "key": None}
        transactions = await read_transactions(source, harness.dataset, beginning, batch_rows=4)
        assert transactions[0].cursor == {"cursor": "2024-05-10T08:00:01.123", "key": [4]}
        later = await read_transactions(source, harness.dataset, transactions[0].cursor)
        assert [row.number for row in decoded(harness, later)] == [5, 6]
        assert await source.estimate(harness.dataset, transactions[0].cursor) == 2


async def test_rows_without_a_cursor_value_come_first_and_are_not_lost_at_a_resume(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 2))
    harness.execute("INSERT INTO Person VALUES (?, ?, NULL, NULL)", [(number, "nobody") for number in range(11, 16)])
    async with opened(harness) as source:
        cursor: Cursor | None = {"cursor": None, "key": None}
        numbers: list[int] = []
        while transactions := await read_transactions(source, harness.dataset, cursor, batch_rows=2, stop_after=1):
            numbers += [row[0] for row in cast(Rows, transactions[0].payload).rows]
            cursor = transactions[0].cursor
    assert numbers == [11, 12, 13, 14, 15, 1, 2]


async def test_a_table_without_any_cursor_value_is_read_again_once(harness: EstateHarness) -> None:
    harness.execute("INSERT INTO Person VALUES (?, ?, NULL, NULL)", [(number, "nobody") for number in range(1, 6)])
    async with opened(harness) as source:
        cursor: Cursor | None = None
        numbers = []
        for _ in range(3):
            if transactions := await read_transactions(source, harness.dataset, cursor, batch_rows=2):
                cursor = transactions[-1].cursor
            numbers.append([row[0] for each in transactions for row in cast(Rows, each.payload).rows])
    assert numbers == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], []]


async def test_without_a_cursor_field_reading_is_in_the_order_of_the_key(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 5))
    dataset = replace(harness.dataset, cursor=None)
    async with opened(harness) as source:
        transactions = await read_transactions(source, dataset, batch_rows=2)
        assert [transaction.cursor for transaction in transactions] == [{"key": [2]}, {"key": [4]}, {"key": [5]}]


async def test_a_checkpoint_of_another_shape_is_refused_with_what_to_do(harness: EstateHarness) -> None:
    async with opened(harness) as source:
        shapes: list[Cursor] = [
            *({"key": []}, {"value": 3}, {"key": 7, "cursor": ""}, {"key": None}),
            *({"full": None}, {"full": {"after": [1, 2], "high": None}}, {"full": {"after": [1]}}),
        ]
        for cursor in shapes:
            with pytest.raises(InvalidInput, match="reset the job"):
                await read_transactions(source, harness.dataset, cursor)


async def test_values_of_every_type_are_written_and_read_again(harness: EstateHarness) -> None:
    harness.execute(
        "CREATE TABLE Things (Id bigint NOT NULL PRIMARY KEY, T nvarchar(100), N float, D decimal(18,4), B bit, Day date,"
        " Moment datetime2(6), Raw varbinary(100), J nvarchar(4000))"
    )
    dataset = Dataset(
        object="Things",
        key=("id",),
        fields={
            "id": Field(type="integer", source="Id"),
            "t": Field(type="text", source="T"),
            "n": Field(type="number", source="N"),
            "d": Field(type="decimal", source="D"),
            "b": Field(type="boolean", source="B"),
            "day": Field(type="date", source="Day"),
            "moment": Field(type="datetime", source="Moment"),
            "raw": Field(type="binary", source="Raw"),
            "j": Field(type="json", source="J"),
        },
    )
    changes: Record = {
        **{"t": "𠮷林 ' \" ; %", "n": 1.5, "d": "1234567890.5678", "b": True, "day": "2024-02-29"},
        **{"moment": "2024-05-10T08:30:00.123456", "raw": "AAH/", "j": {"甲": [1, None]}},
    }
    async with opened(harness) as source:
        for number, values in ((2**62, changes), (-1, dict.fromkeys(changes))):
            await source.upsert(dataset, {"id": number}, values)
        rows = await source.fetch(dataset, {"id": 2**62})
        assert list(rows.rows[0]) == [
            *(2**62, "𠮷林 ' \" ; %", 1.5, Decimal("1234567890.5678"), True, date(2024, 2, 29)),
            *(datetime(2024, 5, 10, 8, 30, 0, 123456), b"\x00\x01\xff", '{"甲":[1,null]}'),
        ]
        rows = await source.fetch(dataset, {"id": -1})
        assert list(rows.rows[0]) == [-1, *[None] * 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": "twelve"}, "field amount: 'twelve' is no decimal"),
        ({"amount": "NaN"}, "field amount"),
        ({"changed_at": "10.05.2024"}, "field changed_at"),
    ],
)
async def test_a_value_that_does_not_fit_its_field_is_named_before_anything_is_sent(
    harness: EstateHarness, changes: Record, message: str
) -> None:
    async with opened(harness) as source:
        with pytest.raises(InvalidInput, match=message):
            await source.upsert(harness.dataset, {"number": 1}, changes)
        assert await source.fetch(harness.dataset, {"number": 1}) is None


async def test_what_the_server_refuses_is_invalid_input_and_nothing_is_written(harness: EstateHarness) -> None:
    harness.execute("CREATE UNIQUE INDEX OnePerName ON Person ([Full Name])")
    await harness.put(crowd(1, 2))
    async with opened(harness) as source:
        with pytest.raises(InvalidInput, match=r"SQL Server 127\.0\.0\.1:\d+: "):
            await source.upsert(harness.dataset, {"number": 2}, {"name": "张三 1"})
        found = await source.fetch(harness.dataset, {"number": 2})
        assert harness.decode([found]) == crowd(2, 1)


async def test_unknown_columns_databases_and_options_are_named(harness: EstateHarness) -> None:
    async with opened(harness) as source:
        odd = people("Person", names=("Number", "Nickname", "Amount", "ChangedAt"))
        with pytest.raises(NotFound, match="Nickname"):
            await read_transactions(source, odd)
        with pytest.raises(InvalidInput, match=r"options of dbo\.Person: .*page"):
            await source.fetch(replace(harness.dataset, options={"page": 1}), {"number": 1})
        with pytest.raises(InvalidInput, match="number is not given"):
            await source.fetch(harness.dataset, {})
    async with opened(harness, replace(harness.settings, database="elsewhere")) as source:
        with pytest.raises(NotFound, match="elsewhere"):
            await source.check()


async def test_a_name_is_only_ever_a_name(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 1))
    async with opened(harness) as source:
        for name in ("Person] WHERE 1=0; DROP TABLE Person --", "Person; DROP TABLE Person"):
            with pytest.raises(PlatformError):
                await source.estimate(replace(harness.dataset, object=name), None)
        assert await source.estimate(harness.dataset, None) == 1


async def test_a_missing_driver_library_says_which_setting_to_look_at(harness: EstateHarness) -> None:
    async with opened(harness, replace(harness.settings, driver="/nowhere/libnone.so")) as source:
        with pytest.raises(NotConnected, match="check the setting `driver`"):
            await source.check()


async def test_a_cancelled_call_leaves_the_next_ones_unharmed(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 25))
    async with opened(harness, replace(harness.settings, max_connections=2)) as source:
        for delay_s in (0.0, 0.001, 0.005, 0.02):
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await asyncio.gather(*(source.fetch(harness.dataset, {"number": number}) for number in range(1, 9)))
        found = await source.fetch(harness.dataset, {"number": 3})
        assert harness.decode([found]) == crowd(3, 1)


async def test_closing_gives_back_every_thread(harness: EstateHarness) -> None:
    await harness.put(crowd(1, 3))
    before = set(threading.enumerate())
    async with opened(harness) as source:
        await asyncio.gather(*(source.check() for _ in range(5)))
        made = [thread for thread in threading.enumerate() if thread.name.startswith("sql_") and thread not in before]
        assert made
    for thread in made:
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()


async def test_a_query_that_is_given_up_is_cancelled_at_the_server(harness: EstateHarness) -> None:
    # Server and adapter share this event loop: the cancelling must not hold it.
    harness.execute(
        'CREATE VIEW Endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i % 7) AS "Number",'
        " 'x' AS \"Full Name\", 1 AS Amount, '2024-05-10' AS ChangedAt FROM n"
    )
    before = set(threading.enumerate())
    async with opened(harness) as source:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await source.fetch(replace(harness.dataset, object="Endless"), {"number": 1})
        made = [thread for thread in threading.enumerate() if thread.name.startswith("sql_") and thread not in before]
        for thread in made:
            await asyncio.to_thread(thread.join, 60)
            assert not thread.is_alive()
        await source.check()


async def test_a_server_that_restarts_is_found_again_without_an_error(tmp_path: Path, free_port: int) -> None:
    server = await start_server(tmp_path, free_port)
    harness = EstateHarness(tmp_path / "Sales.db", free_port)
    await harness.put(crowd(1, 3))
    async with opened(harness) as source:
        await asyncio.gather(source.check(), source.check(), source.check())
        await stop(server)
        with pytest.raises((NotConnected, Unavailable)):
            await source.check()
        server = await start_server(tmp_path, free_port)
        assert harness.decode([await source.fetch(harness.dataset, {"number": 2})]) == crowd(2, 1)
        await stop(server)
        server = await start_server(tmp_path, free_port)
        assert decoded(harness, await read_transactions(source, harness.dataset)) == crowd(1, 3)
    await stop(server)


async def test_a_server_that_goes_away_while_rows_come_is_unavailable(tmp_path: Path, free_port: int) -> None:
    server = await start_server(tmp_path, free_port)
    harness = EstateHarness(tmp_path / "Sales.db", free_port)
    harness.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO Person SELECT i, printf('%050d', i), '1.00', '2024-05-10 08:00:00.000' FROM n"
    )
    async with opened(harness) as source:
        stream = cast(AsyncGenerator[Transaction, None], source.read(harness.dataset, None, batch_rows=100))
        await anext(stream)
        await stop(server)
        with pytest.raises((Unavailable, NotConnected)):
            async for _ in stream:
                pass
        with pytest.raises((Unavailable, NotConnected)):
            await source.check()


class RealHarness(EstateHarness):
    """A table in a real SQL Server, made anew for each test; `SQLSERVER_DSN` is mssql://user:password@host:port/database."""

    def __init__(self, dsn: str) -> None:
        url = urlsplit(dsn)
        super().__init__(Path(), url.port or 1433)
        self.settings = Settings(
            host=url.hostname or "",
            port=url.port or 1433,
            database=url.path.strip("/"),
            user=unquote(url.username or ""),
            password=Secret(unquote(url.password or "")),
            trust_server_certificate=True,
        )
        self.wrong_password = replace(self.settings, password=Secret("not it"))
        self.unreachable = replace(self.settings, host="127.0.0.1", port=free_port(), connect_timeout_s=2)

    def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        replacing = sql.replace("INSERT OR REPLACE", "DELETE FROM Person WHERE Number = ?; INSERT")
        with closing(load_pyodbc().connect(connection_string(self.settings), autocommit=True)) as connection:
            for row in rows:
                connection.execute(replacing, [*row[:1], *row])


if SQLSERVER_DSN := os.environ.get("SQLSERVER_DSN"):  # opt-in: there is no SQL Server that could be installed for the tests

    class TestRealSqlServer(ConnectionSuite, SourceSuite, DescribesSuite, LookupSuite, WriterSuite):
        """The conformance suites against a real SQL Server."""

        @pytest.fixture
        def harness(self) -> Iterator[RealHarness]:
            made = RealHarness(cast(str, SQLSERVER_DSN))
            made.execute("DROP TABLE IF EXISTS Person")
            made.execute(TABLE)
            yield made
            made.execute("DROP TABLE Person")
