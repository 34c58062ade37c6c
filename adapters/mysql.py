"""MySQL and MariaDB: tables and views read in bulk and by key, rows written one statement each.

aiomysql speaks the protocol (`mysql_connections`), `mysql_rows` splits the bulk. Dates, times and decimals are the server's text.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct, convert
from msgspec import ValidationError as OptionsError

from adapters.mysql_connections import Connections, Settings
from adapters.mysql_rows import RowStream
from adapters.sql_columns import columns, question
from adapters.sql_reading import Fetch, counts, transactions
from adapters.sql_statements import Dialect, Prepared, Statement, Statements
from core.adapter import Adapter, Connection
from core.errors import InvalidInput
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, SourceColumn, Value

# `%` is doubled in a name because the driver puts the values in by Python's % formatting.
_DIALECT = Dialect("`", "`", doubled="`%", placeholder="%s", datetime_placeholder="%s", count="COUNT(*)")

_Answer: TypeAlias = tuple[Sequence[Sequence[Any]], int]
"""The rows and the number of rows affected."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a dataset: none. A table of another database is written `database.table`."""


class MySql:
    """The `read`, `lookup` and `write` abilities."""

    def __init__(self, settings: Settings) -> None:
        self._connections = Connections(settings)
        self._statements = Prepared(_statements).of

    async def check(self) -> None:
        await self._query(Statement("SELECT 1"))

    async def close(self) -> None:
        await self._connections.close()

    def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncGenerator[Transaction, None]:
        """One SELECT that the server sends while it is read, and its increment behind it where a full load is resumed.

        What has not been taken waits in the socket.
        """
        return transactions(self._statements(dataset), cursor, partial(self._selected, batch_rows))

    @asynccontextmanager
    async def _selected(self, batch_rows: int, highest: Statement | None, rows: Statement) -> AsyncIterator[tuple[Any, Fetch]]:
        async def opening(connection: Any) -> tuple[Any, RowStream]:
            from aiomysql import SSCursor

            high = None if highest is None else (await _answer(connection, highest))[0][0][0]
            running = await connection.cursor(SSCursor)
            await running.execute(rows.sql, rows.parameters)
            return high, RowStream(connection, running)

        async with self._connections.started(opening) as (_, (high, stream)):
            yield high, partial(self._batch, stream, batch_rows)

    async def _batch(self, stream: RowStream, batch_rows: int) -> list[list[Any]]:
        with self._connections.translated():
            return await stream.batch(batch_rows)

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        found = [await self._query(count) for count in counts(self._statements(dataset), cursor)]
        return sum(int(rows[0][0]) for rows, _ in found)

    async def describe(self, dataset: Dataset) -> list[SourceColumn]:
        asked = question(dataset, placeholder="%s", schema="DATABASE()", native="COLUMN_TYPE")
        rows, _ = await self._query(asked)
        return columns(rows)

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        statements = self._statements(dataset)
        rows, _ = await self._query(statements.fetch(key))
        return Rows(statements.columns, rows[:1]) if rows else None

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        """UPDATE; where no row was found INSERT; where another was quicker UPDATE again.

        Not INSERT … ON DUPLICATE KEY UPDATE: it changes whichever row shares *any* unique value, and refuses a change of some
        fields where another field is required.
        """
        statements = self._statements(dataset)
        insert = statements.insert(key, changes)
        update = statements.update(key, changes) if changes else statements.lock(key)
        if await self._found(update):
            return
        try:
            await self._query(insert)
        except InvalidInput as duplicate:
            if "(1062)" not in duplicate.detail or not await self._found(update):
                raise

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        await self._query(self._statements(dataset).delete(key))

    async def _found(self, statement: Statement) -> bool:
        """Whether an UPDATE found a row, or the count of rows says that there is one."""
        rows, affected = await self._query(statement)
        return rows[0][0] > 0 if rows else affected > 0

    async def _query(self, statement: Statement) -> _Answer:
        return await self._connections.run(partial(_answer, statement=statement))


async def _answer(connection: Any, statement: Statement) -> _Answer:
    async with connection.cursor() as cursor:
        affected = await cursor.execute(statement.sql, statement.parameters)
        return list(await cursor.fetchall()) if cursor.description else [], int(affected)


def _statements(dataset: Dataset) -> Statements:
    try:
        convert(dataset.options, Options)
    except OptionsError as error:
        raise InvalidInput(f"options of {dataset.object}: {error}") from error
    return Statements(_DIALECT, dataset)


def _open(settings: Settings) -> Connection:
    return MySql(settings)


ADAPTER = Adapter(
    name="mysql",
    title="MySQL, MariaDB",
    settings=Settings,
    options=Options,
    abilities=frozenset({"read", "lookup", "write"}),
    open=_open,
)
