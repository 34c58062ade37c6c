"""MySQL's adapter against a real MariaDB, and against the server of the sample estate."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import aiomysql
import pytest
from msgspec.structs import replace

from adapters.mysql import ADAPTER
from adapters.mysql_connections import Settings
from core.adapter import Adapter
from core.errors import Forbidden, InvalidInput, NotConnected, NotFound
from core.records import Cursor, Payload, Rows, Transaction
from core.schema import Dataset
from core.secret import Secret
from examples.estate.wire.mysql import serve_mysql
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
from tests.servers.mariadb import MariaDBDatabase, MariaDBServer
from tests.servers.ports import free_port

TABLE = (
    "CREATE TABLE person (number int NOT NULL PRIMARY KEY, `full %%name` varchar(50) NOT NULL,"
    " amount decimal(18,2), changed_at datetime(3), KEY (changed_at, number))"
)


class MariaDBHarness:
    """A table `person` in a database of its own."""

    adapter: Adapter = ADAPTER

    def __init__(self, database: MariaDBDatabase) -> None:
        self.settings = Settings(
            host=database.host,
            port=database.port,
            database=database.database,
            user=database.user,
            password=Secret(database.password),
        )
        self.wrong_password = replace(self.settings, password=Secret("not it"))
        self.unreachable = replace(self.settings, port=free_port(), connect_timeout_s=2)
        self.dataset = people("person", names=("number", "full %name", "amount", "changed_at"))
        self.missing: Dataset | None = replace(self.dataset, object="no_such_table")

    async def put(self, people: Sequence[Person]) -> None:
        rows = [(row.number, row.name, row.amount, row.changed_at.replace("T", " ")) for row in people]
        await self.execute("REPLACE INTO person VALUES (%s, %s, %s, %s)", rows)

    async def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        settings = self.settings
        async with (
            aiomysql.connect(
                host=settings.host,
                port=settings.port,
                user=settings.user,
                password=settings.password.reveal(),
                db=settings.database,
                charset="utf8mb4",
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for row in rows:
                await cursor.execute(sql, row)

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@pytest.fixture
async def harness(mariadb_database: MariaDBDatabase) -> MariaDBHarness:
    made = MariaDBHarness(mariadb_database)
    await made.execute(TABLE)
    return made


@pytest.mark.servers
@pytest.mark.req("0.46")
class TestMariaDB(ConnectionSuite, SourceSuite, DescribesSuite, LookupSuite, WriterSuite):
    """The conformance suites."""


class SampleHarness(MariaDBHarness):
    """The table in a SQLite file behind the sample estate's server, which needs nothing installed."""

    def __init__(self, file: Path, port: int) -> None:
        super().__init__(MariaDBDatabase("127.0.0.1", port, "reader", "p'a;ss", "property"))
        self._file = file

    async def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        with closing(sqlite3.connect(self._file)) as database, database:
            database.executemany(sql.replace("%s", "?"), rows)


class TestSampleEstate(ConnectionSuite, SourceSuite, DescribesSuite, LookupSuite, WriterSuite):
    """The conformance suites against the sample's property system."""

    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[SampleHarness]:
        file = tmp_path / "property.db"
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(TABLE.replace("%%", "%").replace(", KEY (changed_at, number)", ""))
        users = {"reader": "p'a;ss"}
        async with await serve_mysql(file, host="127.0.0.1", port=0, users=users, schema="property") as server:
            yield SampleHarness(file, server.sockets[0].getsockname()[1])


@pytest.mark.servers
class TestMariaDBInParticular:
    """What only a real server shows."""

    async def test_zero_dates_and_exact_decimals_come_as_the_servers_text(self, harness: MariaDBHarness) -> None:
        await harness.execute(
            "CREATE TABLE odd (id int PRIMARY KEY, day date, moment datetime, amount decimal(30,10), length time, flag bit(1),"
            " tiny tinyint(1), bytes varbinary(10), words text, made year, j json)"
        )
        await harness.execute("INSERT INTO odd (id) VALUES (2)")
        await harness.execute(
            "SET STATEMENT sql_mode='' FOR INSERT INTO odd VALUES (1, '0000-00-00', '0000-00-00 00:00:00',"
            " '12345678901234567890.0123456789', '-01:02:03', b'1', 1, x'00ff', '𠮷%%', 2024, '[1]')"
        )
        names = ("id", "day", "moment", "amount", "length", "flag", "tiny", "bytes", "words", "made", "j")
        dataset = Dataset(object="odd", key=("id",), fields=dict.fromkeys(names, "text"))
        expected = [
            *(1, "0000-00-00", "0000-00-00 00:00:00", "12345678901234567890.0123456789", "-01:02:03", 1, 1),
            *(b"\x00\xff", "𠮷%", 2024, "[1]"),
        ]
        async with opened(harness) as source:
            (transaction,) = await read_transactions(source, dataset)
            assert cast(Rows, transaction.payload).rows == [expected, [2, *[None] * 10]]
            found = await source.fetch(replace(dataset, fields={**dataset.fields, "id": "integer"}), {"id": 1})
            assert list(found.rows[0]) == expected

    async def test_a_zero_date_as_cursor_loses_no_row(self, harness: MariaDBHarness) -> None:
        await harness.execute(
            "SET STATEMENT sql_mode='' FOR INSERT INTO person VALUES (5, 'e', 1, '0000-00-00'), (6, 'f', 1, '0000-00-00'),"
            " (7, 'g', 1, NULL), (8, 'h', 1, '2024-05-10 08:00:00')"
        )
        beginning: Cursor = {"cursor": None, "key": None}
        async with opened(harness) as source:
            for cursor, expected in ((beginning, [7, 5, 6, 8]), (None, [5, 6, 7, 8, 8])):
                numbers: list[int] = []
                while transactions := await read_transactions(source, harness.dataset, cursor, batch_rows=1, stop_after=1):
                    numbers += [row[0] for row in cast(Rows, transactions[0].payload).rows]
                    cursor = transactions[0].cursor
                assert numbers == expected

    async def test_a_full_load_is_in_the_order_of_the_key_and_goes_on_from_any_of_its_cursors(
        self, harness: MariaDBHarness
    ) -> None:
        await harness.put([*crowd(1, 2, minute=9), *crowd(3, 3)])
        async with opened(harness) as source:
            first, last = await read_transactions(source, harness.dataset, batch_rows=3)
            assert first.cursor == {"full": {"after": [3], "high": "2024-05-10 08:09:00.123"}}
            assert last.cursor == {"cursor": "2024-05-10 08:09:00.123", "key": None}
            assert [row.number for row in decoded(harness, [first, last])] == [1, 2, 3, 4, 5]
            rest = await read_transactions(source, harness.dataset, first.cursor)
            assert [row.number for row in decoded(harness, rest)] == [4, 5, 1, 2]
            assert await source.estimate(harness.dataset, first.cursor) == 4

    async def test_what_changes_while_a_full_load_is_under_way_comes_with_the_increment(self, harness: MariaDBHarness) -> None:
        await harness.put(crowd(1, 25))
        async with opened(harness) as source:
            (first,) = await read_transactions(source, harness.dataset, stop_after=1)
            news = crowd(3, 2, minute=1, name="李四")
            await harness.put(news)
            rest = decoded(harness, await read_transactions(source, harness.dataset, first.cursor))
            assert rest == [*crowd(11, 15), *crowd(24, 2), *news]

    async def test_rows_of_several_packets_are_put_together(self, harness: MariaDBHarness, mariadb_server: MariaDBServer) -> None:
        mariadb_server.execute("SET GLOBAL max_allowed_packet = 67108864")
        await harness.execute("CREATE TABLE big (id int PRIMARY KEY, a longtext, b text)")
        await harness.execute("INSERT INTO big VALUES (1, repeat('x', 300), 'y'), (2, repeat('长', 6000000), 'z'), (3, '', NULL)")
        await harness.execute("INSERT INTO big VALUES (4, repeat('w', 16777215 - 12), ''), (5, repeat('v', 70000), 'end')")
        dataset = Dataset(object="big", key=("id",), fields={"id": "integer", "a": "text", "b": "text"})
        async with opened(harness) as source:
            (transaction,) = await read_transactions(source, dataset)
        rows = [(number, len(a), b) for number, a, b in cast(Rows, transaction.payload).rows]
        assert rows == [(1, 300, "y"), (2, 6_000_000, "z"), (3, 0, None), (4, 16777203, ""), (5, 70000, "end")]

    async def test_an_upsert_touches_no_other_row_that_shares_a_unique_value(self, harness: MariaDBHarness) -> None:
        await harness.execute("ALTER TABLE person ADD UNIQUE (amount)")
        await harness.put(crowd(1, 2))
        async with opened(harness) as source:
            with pytest.raises(InvalidInput, match="Duplicate entry"):
                await source.upsert(harness.dataset, {"number": 9}, {"name": "new", "amount": "1.50"})
            assert decoded(harness, await read_transactions(source, harness.dataset)) == crowd(1, 2)

    async def test_what_the_server_refuses_is_said_in_its_words(self, harness: MariaDBHarness) -> None:
        async with opened(harness) as source:
            with pytest.raises(InvalidInput, match=r"MySQL 127\.0\.0\.1:\d+: .*full %name"):
                await source.upsert(harness.dataset, {"number": 1}, {"amount": "1"})  # the name is required
            with pytest.raises(NotFound, match="Nickname"):
                await read_transactions(source, people("person", names=("number", "Nickname", "amount", "changed_at")))
            with pytest.raises(InvalidInput, match="options of person"):
                await source.fetch(replace(harness.dataset, options={"page": 1}), {"number": 1})
        async with opened(harness, replace(harness.settings, database="elsewhere")) as source:
            with pytest.raises(NotFound, match="elsewhere"):
                await source.check()

    async def test_a_user_without_the_right_is_forbidden(self, harness: MariaDBHarness, mariadb_server: MariaDBServer) -> None:
        database = harness.settings.database
        mariadb_server.execute(
            "CREATE OR REPLACE USER reader@'%' IDENTIFIED BY 'p'", f"GRANT SELECT ON `{database}`.* TO reader@'%'"
        )
        async with opened(harness, replace(harness.settings, user="reader", password=Secret("p"))) as source:
            await source.check()
            with pytest.raises(Forbidden, match="denied"):
                await source.delete(harness.dataset, {"number": 1})

    async def test_a_server_that_was_killed_and_started_is_found_again(
        self, harness: MariaDBHarness, mariadb_server: MariaDBServer
    ) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            await asyncio.gather(*(source.check() for _ in range(4)))
            stream = cast(AsyncGenerator[Transaction, None], source.read(harness.dataset, None, batch_rows=3))
            await anext(stream)
            mariadb_server.kill()
            await stream.aclose()
            with pytest.raises(NotConnected):
                await source.check()
            await asyncio.to_thread(mariadb_server.start)
            assert decoded(harness, await read_transactions(source, harness.dataset)) == rows

    async def test_cancelled_calls_leave_the_next_ones_unharmed(self, harness: MariaDBHarness) -> None:
        await harness.put(crowd(1, 25))
        async with opened(harness, replace(harness.settings, max_connections=2)) as source:
            for delay_s in (0.0, 0.001, 0.003, 0.01):
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await asyncio.gather(*(source.fetch(harness.dataset, {"number": number}) for number in range(1, 9)))
            assert decoded(harness, await read_transactions(source, harness.dataset)) == crowd(1, 25)


async def test_a_server_that_never_answers_is_given_up_in_time(free_port: int) -> None:
    async with await asyncio.start_server(_silent, "127.0.0.1", free_port):
        settings = Settings(host="127.0.0.1", port=free_port, database="d", user="u", password=Secret("p"), connect_timeout_s=0.2)
        source = ADAPTER.open(settings)
        with pytest.raises(NotConnected, match=r"no answer within 0\.2 s"):
            await source.check()
        await source.close()


async def test_a_server_that_speaks_something_else_is_not_connected(free_port: int) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ftp.example ready\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", free_port):
        source = ADAPTER.open(Settings(host="127.0.0.1", port=free_port, database="d", user="u", password=Secret("p")))
        with pytest.raises(NotConnected):
            await source.check()
        await source.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
