"""PostgreSQL: tables and views read in bulk and by key, rows written one statement each.

asyncpg speaks the protocol (`postgres_connections`). Dates, times and decimals are the server's text, those with a zone in UTC.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from msgspec import Struct, convert
from msgspec import ValidationError as OptionsError
from msgspec.structs import replace

from adapters.postgres_connections import Connections, Settings
from adapters.sql_columns import columns, question
from adapters.sql_reading import Fetch, counts, transactions
from adapters.sql_statements import Dialect, Prepared, Statement, Statements
from core.adapter import Adapter, Connection
from core.errors import InvalidInput
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, SourceColumn, Value

_PLACE = "\0"
"""Stands for a parameter until they are counted ($1, $2 …): no name in PostgreSQL can hold it."""
_DIALECT = Dialect(
    '"', '"', doubled='"', placeholder=_PLACE, datetime_placeholder=_PLACE, count="COUNT(*)", nulls_first=" NULLS FIRST"
)
_NATIVE = (
    "data_type || coalesce('(' || character_maximum_length || ')', CASE WHEN data_type = 'numeric'"
    " THEN '(' || numeric_precision || ',' || numeric_scale || ')' END, '')"
)
_DUPLICATE = "(23505)"


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a dataset: none. A table of another schema is written `schema.table`."""


class Postgres:
    """The `read`, `lookup` and `write` abilities."""

    def __init__(self, settings: Settings) -> None:
        self._connections = Connections(settings)
        self._schema = settings.schema
        self._statements = Prepared(self._made).of

    async def check(self) -> None:
        await self._query(Statement("SELECT 1"))

    async def close(self) -> None:
        await self._connections.close()

    def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncGenerator[Transaction, None]:
        """A cursor in a transaction of its own, which sees the table as it was when it began."""
        return transactions(self._statements(dataset), cursor, partial(self._selected, batch_rows))

    @asynccontextmanager
    async def _selected(self, batch_rows: int, highest: Statement | None, rows: Statement) -> AsyncIterator[tuple[Any, Fetch]]:
        async with self._connections.held() as connection:
            high = None if highest is None else await connection.fetchval(_counted(highest.sql), *highest.parameters)
            async with connection.transaction(readonly=True):
                running = await connection.cursor(_counted(rows.sql), *rows.parameters)

                async def fetch() -> list[Any]:
                    with self._connections.translated():
                        return [tuple(row) for row in await running.fetch(batch_rows)]

                yield high, fetch

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        found = [await self._query(count) for count in counts(self._statements(dataset), cursor)]
        return sum(int(rows[0][0]) for rows in found)

    async def describe(self, dataset: Dataset) -> list[SourceColumn]:
        qualified = replace(dataset, object=f"{self._schema}.{dataset.object}") if "." not in dataset.object else dataset
        schema_of = question(qualified, placeholder=_PLACE, schema="current_schema()", native=_NATIVE)
        return columns(await self._query(schema_of))

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        statements = self._statements(dataset)
        rows = await self._query(statements.fetch(key))
        return Rows(statements.columns, [tuple(row) for row in rows[:1]]) if rows else None

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        """UPDATE; where no row was found INSERT; where another was quicker UPDATE again. Not ON CONFLICT: it needs a unique
        index on just these columns, which a view or a partitioned table may not show."""
        statements = self._statements(dataset)
        insert = statements.insert(key, changes)
        update = statements.update(key, changes) if changes else None
        if await self._is_there(statements.lock(key), update):
            return
        try:
            await self._execute(insert)
        except InvalidInput as duplicate:
            if _DUPLICATE not in duplicate.detail or not await self._is_there(statements.lock(key), update):
                raise

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        await self._execute(self._statements(dataset).delete(key))

    async def _is_there(self, count: Statement, update: Statement | None) -> bool:
        if update is None:
            return int((await self._query(count))[0][0]) > 0
        return await self._execute(update) > 0

    async def _query(self, statement: Statement) -> Sequence[Sequence[Any]]:
        return await self._connections.run(lambda connection: connection.fetch(_counted(statement.sql), *statement.parameters))

    async def _execute(self, statement: Statement) -> int:
        """The number of rows that it found."""

        async def work(connection: Any) -> int:
            tag: str = await connection.execute(_counted(statement.sql), *statement.parameters)
            return int(tag.rpartition(" ")[2])

        return await self._connections.run(work)

    def _made(self, dataset: Dataset) -> Statements:
        try:
            convert(dataset.options, Options)
        except OptionsError as error:
            raise InvalidInput(f"options of {dataset.object}: {error}") from error
        return Statements(_DIALECT, dataset, self._schema)


def _counted(sql: str) -> str:
    """With `$1`, `$2` … in the places of the parameters."""
    first, *rest = sql.split(_PLACE)
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def _open(settings: Settings) -> Connection:
    return Postgres(settings)


ADAPTER = Adapter(
    name="postgres",
    title="PostgreSQL",
    settings=Settings,
    options=Options,
    abilities=frozenset({"read", "lookup", "write"}),
    open=_open,
)
