"""MySQL's adapter against a real MariaDB."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiomysql
import pytest
from msgspec.structs import replace

from adapters.mysql import ADAPTER
from adapters.mysql_connections import Settings
from core.adapter import Adapter
from core.errors import DeadlineExceeded, Forbidden, InvalidInput, NotFound, PlatformError, Unavailable
from core.records import Payload, Rows
from core.schema import Dataset
from core.secret import Secret
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
        rows = [(row.number, row.name, row.amount, row.changed_at) for row in people]
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
class TestMariaDB(ConnectionSuite, SourceSuite, LookupSuite, WriterSuite):
    """The conformance suites."""
