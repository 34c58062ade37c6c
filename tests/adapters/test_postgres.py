"""PostgreSQL's adapter against a real server."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import pytest
from msgspec.structs import replace

from adapters.postgres import ADAPTER, _counted
from adapters.postgres_connections import Settings
from core.adapter import Adapter
from core.errors import Forbidden, InvalidInput, NotFound, Unavailable
from core.records import Payload, Rows
from core.schema import Dataset, FieldType
from core.secret import Secret
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
from tests.servers.postgres import PostgresDatabase, PostgresServer

pytestmark = [pytest.mark.servers, pytest.mark.req("0.46")]
_COLUMNS = 'number int PRIMARY KEY, "full ""name" varchar(50) NOT NULL, amount numeric(18,2), changed_at timestamp(3)'
_TABLE = f"CREATE TABLE person ({_COLUMNS})"
_HOSTILE = ("'; DROP TABLE person; --", '"; DROP TABLE person; --', "\\'", "$1", "%s %", "𠮷 张三", "a\nb\tc", "{}", "")


class PostgresHarness:
    """A table `person` in a database of its own."""

    adapter: Adapter = ADAPTER

    def __init__(self, database: PostgresDatabase) -> None:
        self.settings = Settings(
            host=database.host,
            port=database.port,
            database=database.database,
            user=database.user,
            password=Secret(database.password),
        )
        self.wrong_password = replace(self.settings, password=Secret("not it"))
        self.unreachable = replace(self.settings, port=free_port(), connect_timeout_s=2)
        self.dataset = people("person", names=("number", 'full "name', "amount", "changed_at"))
        self.missing: Dataset | None = replace(self.dataset, object="no_such_table")

    async def put(self, people: Sequence[Person]) -> None:
        rows = [(row.number, row.name, row.amount, row.changed_at) for row in people]
        statement = (
            "INSERT INTO person VALUES ($1::int, $2, $3::text::numeric, $4::text::timestamp)"
            ' ON CONFLICT (number) DO UPDATE SET "full ""name" = excluded."full ""name", amount = excluded.amount,'
            " changed_at = excluded.changed_at"
        )
        await self.execute(statement, rows)

    async def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        settings = self.settings
        connection = await asyncpg.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password.reveal(),
            database=settings.database,
        )
        try:
            for row in rows:
                await connection.execute(sql, *row)
        finally:
            await connection.close()

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@pytest.fixture
async def harness(postgres_database: PostgresDatabase) -> PostgresHarness:
    made = PostgresHarness(postgres_database)
    await made.execute(_TABLE)
    return made


class TestPostgres(ConnectionSuite, SourceSuite, DescribesSuite, LookupSuite, WriterSuite):
    """The conformance suites."""


_TYPES: tuple[tuple[str, FieldType, Any, Any], ...] = (
    ("numeric(30,10)", "decimal", "12345678901234567890.0123456789", "12345678901234567890.0123456789"),
    ("numeric", "decimal", "0.000000000000000000001", "0.000000000000000000001"),
    ("bigint", "integer", -(2**63), -(2**63)),
    ("double precision", "number", 0.1, 0.1),
    ("boolean", "boolean", True, True),
    ("date", "date", "0004-02-29", "0004-02-29"),
    ("timestamp(6)", "datetime", "2024-05-10T08:00:00.123456", "2024-05-10 08:00:00.123456"),
    ("timestamptz(6)", "datetime", "2024-05-10T08:00:00.123456+08:00", "2024-05-10 00:00:00.123456+00"),
    ("bytea", "binary", "AP8=", b"\x00\xff"),
    ("jsonb", "json", {"a": [1, None, "文"]}, '{"a": [1, null, "文"]}'),
    ("json", "json", [1.50, "x"], '[1.5,"x"]'),
    ("uuid", "text", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("text", "text", "𠮷%$1", "𠮷%$1"),
)


@pytest.mark.parametrize(("column", "kind", "given", "expected"), _TYPES, ids=[each[0] for each in _TYPES])
async def test_values_are_kept_exactly(harness: PostgresHarness, column: str, kind: FieldType, given: Any, expected: Any) -> None:
    """Through a write, a look-up and a read; NULL too."""
    await harness.execute(f"CREATE TABLE odd (id int PRIMARY KEY, v {column})")
    fields: dict[str, Any] = {"id": "integer", "v": kind}
    dataset = Dataset(object="odd", key=("id",), fields=fields)
    async with opened(harness) as source:
        await source.upsert(dataset, {"id": 1}, {"v": given})
        await source.upsert(dataset, {"id": 2}, {"v": None})
        found = await source.fetch(dataset, {"id": 1})
        assert found.rows == [(1, expected)]
        (transaction,) = await read_transactions(source, dataset)
        assert cast(Rows, transaction.payload).rows == [(1, expected), (2, None)]


async def test_rows_without_a_moment_come_first_and_none_is_missed(harness: PostgresHarness) -> None:
    await harness.put(crowd(1, 30))
    await harness.execute("UPDATE person SET changed_at = NULL WHERE number % 3 = 0")
    dataset = replace(harness.dataset, fields={**harness.dataset.fields, "name": harness.dataset.field("name")})
    async with opened(harness) as source:
        load = await read_transactions(source, dataset, batch_rows=4)
        increment = await read_transactions(source, dataset, {"cursor": None, "key": None}, batch_rows=4)
        assert [row[0] for each in load for row in cast(Rows, each.payload).rows] == list(range(1, 31))
        seen = [row for each in increment for row in cast(Rows, each.payload).rows]
        assert [row[3] for row in seen[:10]] == [None] * 10
        assert sorted(row[0] for row in seen) == list(range(1, 31))
        resumed = await read_transactions(source, dataset, increment[0].cursor, batch_rows=4)
        assert sorted(row[0] for each in (increment[0], *resumed) for row in cast(Rows, each.payload).rows) == list(range(1, 31))


async def test_hostile_text_is_stored_as_it_is(harness: PostgresHarness) -> None:
    async with opened(harness) as source:
        for number, text in enumerate(_HOSTILE):
            await source.upsert(harness.dataset, {"number": number}, {"name": text, "amount": "1.00"})
        found = [(await source.fetch(harness.dataset, {"number": number})).rows[0][1] for number in range(len(_HOSTILE))]
        assert found == list(_HOSTILE)
        with pytest.raises(InvalidInput, match="0x00"):
            await source.upsert(harness.dataset, {"number": 99}, {"name": "nul\0byte"})
        with pytest.raises(NotFound):
            await source.fetch(replace(harness.dataset, object='person"; DROP TABLE person; --'), {"number": 1})
        assert await source.estimate(harness.dataset, None) == len(_HOSTILE)


async def test_what_the_server_refuses_is_said_in_the_platform_s_terms(harness: PostgresHarness) -> None:
    async with opened(harness) as source:
        with pytest.raises(InvalidInput, match="varying"):
            await source.upsert(harness.dataset, {"number": 1}, {"name": "x" * 51})
        with pytest.raises(InvalidInput, match="null value"):
            await source.upsert(harness.dataset, {"number": 1}, {"amount": "1.00"})
        with pytest.raises(InvalidInput, match="out of int32 range"):
            await source.upsert(harness.dataset, {"number": 2**40}, {"name": "too large a number"})
        unknown = replace(harness.dataset, fields={**harness.dataset.fields, "no_such_column": "text"})
        with pytest.raises(NotFound, match="no_such_column"):
            await source.fetch(unknown, {"number": 1})
    await harness.execute("CREATE ROLE reader LOGIN PASSWORD 'reader-password'")
    try:
        await harness.execute("GRANT SELECT ON person TO reader")
        settings = replace(harness.settings, user="reader", password=Secret("reader-password"))
        async with opened(harness, settings) as source:
            assert await source.estimate(harness.dataset, None) == 0
            with pytest.raises(Forbidden, match="permission denied"):
                await source.upsert(harness.dataset, {"number": 1}, {"name": "x"})
    finally:
        await harness.execute("DROP OWNED BY reader")
        await harness.execute("DROP ROLE reader")


async def test_two_writers_of_one_new_key_both_succeed(harness: PostgresHarness) -> None:
    async with opened(harness) as source:
        for number in range(20):
            await asyncio.gather(*(source.upsert(harness.dataset, {"number": number}, {"name": f"w{w}"}) for w in range(4)))
        assert await source.estimate(harness.dataset, None) == 20


async def test_killed_in_a_read_it_is_unavailable_and_the_rest_comes_after_the_restart(
    harness: PostgresHarness, postgres_server: PostgresServer
) -> None:
    await harness.put(crowd(1, 50))
    async with opened(harness) as source:
        stream = source.read(harness.dataset, None, batch_rows=5)
        first = await anext(stream)
        postgres_server.kill()
        with pytest.raises(Unavailable):
            async for _ in stream:
                pass
        postgres_server.start()
        rest = await read_transactions(source, harness.dataset, first.cursor, batch_rows=5)
        numbers = [person.number for person in decoded(cast(Any, harness), [first, *rest])]
        assert set(numbers) == set(range(1, 51))


async def test_a_connection_that_was_cut_while_idle_is_not_seen(harness: PostgresHarness, postgres_server: PostgresServer) -> None:
    await harness.put(crowd(1, 3))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with opened(harness) as source:
        await source.check()
        postgres_server.execute(cut, harness.settings.database)
        assert await source.estimate(harness.dataset, None) == 3
        postgres_server.execute(cut, harness.settings.database)
        assert len(await read_transactions(source, harness.dataset)) == 1


def test_places_are_counted() -> None:
    assert _counted('SELECT "a?$1" FROM t WHERE a = \0 AND b > \0') == 'SELECT "a?$1" FROM t WHERE a = $1 AND b > $2'
    assert _counted("SELECT 1") == "SELECT 1"
