"""SQL Server: tables and views read in bulk and by key, rows written in the server's own transactions.

pyodbc works in threads (`sql_pool`), on Microsoft's ODBC driver 18 or FreeTDS (`sqlserver_driver`). A datetime2(7) is read to the
microsecond, so that at a resume rows of that very microsecond come again.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, convert
from msgspec import ValidationError as OptionsError

from adapters.sql_columns import columns, question
from adapters.sql_pool import Pool
from adapters.sql_reading import Fetch, counts, transactions
from adapters.sql_statements import Dialect, Prepared, Statement, Statements
from adapters.sqlserver_driver import OdbcConnection, Settings, load_pyodbc, probe
from adapters.sqlserver_errors import platform_error
from core.adapter import Adapter, Connection
from core.errors import InvalidInput
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, SourceColumn, Value

# A date-time is bound as text: pyodbc cuts the digits of a second to what the driver's type list says. The cast is for the old
# `datetime`, which refuses text with more than three of them but rounds a datetime2.
_DIALECT = Dialect("[", "]", doubled="]", placeholder="?", datetime_placeholder="CAST(? AS datetime2(7))", count="COUNT_BIG(*)")
_NATIVE = (
    "CONCAT(DATA_TYPE, '(' + CAST(CHARACTER_MAXIMUM_LENGTH AS varchar(12)) + ')', CASE WHEN DATA_TYPE IN ('decimal', 'numeric')"
    " THEN CONCAT('(', NUMERIC_PRECISION, ',', NUMERIC_SCALE, ')') END)"
)
# Both hints: the lock is an update lock from the start and covers the gap where the row would be, so that of two upserts of one
# new row the second waits for the first instead of failing or making it twice.
_UPSERT_DIALECT = replace(_DIALECT, write_hint=" WITH (UPDLOCK, HOLDLOCK)")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a dataset. `schema` is for an object that names none itself."""

    schema: Annotated[str, Meta(min_length=1)] = "dbo"


class SqlServer:
    """The `read`, `lookup` and `write` abilities."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._where = f"SQL Server {settings.host}:{settings.port}"
        self._pool = Pool(self._connect, size=settings.max_connections)
        self._statements = Prepared(partial(_statements, _DIALECT)).of
        self._upserts = Prepared(partial(_statements, _UPSERT_DIALECT)).of

    async def check(self) -> None:
        await self._pool.run(self._querying(Statement("SELECT 1")))

    async def close(self) -> None:
        await self._pool.close()

    def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncGenerator[Transaction, None]:
        """One server-side SELECT, and its increment behind it where a full load is resumed.

        The thread does not fetch while the caller works: pyodbc gives up and takes back the GIL a dozen times a row, and two busy
        threads would fight for it.
        """
        return transactions(self._statements(dataset), cursor, partial(self._selected, batch_rows))

    @asynccontextmanager
    async def _selected(self, batch_rows: int, highest: Statement | None, rows: Statement) -> AsyncIterator[tuple[Any, Fetch]]:
        async with self._pool.started(self._opening(highest, rows)) as (link, (high, result)):
            yield high, lambda: link.submit(self._fetching(result, batch_rows))
            await link.submit(self._closing(result))

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        found = [await self._pool.run(self._querying(count)) for count in counts(self._statements(dataset), cursor)]
        return sum(int(rows[0][0]) for rows in found)

    async def describe(self, dataset: Dataset) -> list[SourceColumn]:
        schema = _options(dataset).schema
        qualified = msgspec.structs.replace(dataset, object=f"{schema}.{dataset.object}") if "." not in dataset.object else dataset
        asked = question(qualified, placeholder="?", schema="SCHEMA_NAME()", native=_NATIVE)
        return columns(await self._pool.run(self._querying(asked)))

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        statements = self._statements(dataset)
        rows = await self._pool.run(self._querying(statements.fetch(key)))
        return Rows(statements.columns, rows[:1]) if rows else None

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        statements = self._upserts(dataset)
        lock, insert = statements.lock(key), statements.insert(key, changes)
        update = statements.update(key, changes) if changes else None

        def work(connection: OdbcConnection) -> None:
            with self._transaction(connection) as cursor:
                if update is None:
                    is_there = cursor.execute(lock.sql, lock.parameters).fetchone()[0] > 0
                else:
                    is_there = cursor.execute(update.sql, update.parameters).rowcount > 0
                if not is_there:
                    cursor.execute(insert.sql, insert.parameters)

        await self._pool.run(work)

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        statement = self._statements(dataset).delete(key)

        def work(connection: OdbcConnection) -> None:
            with self._transaction(connection) as cursor:
                cursor.execute(statement.sql, statement.parameters)

        await self._pool.run(work)

    # What follows runs in the threads of the pool.

    def _connect(self) -> OdbcConnection:
        load_pyodbc()
        probe(self._settings)
        with self._translated(is_connecting=True):
            return OdbcConnection(self._settings)

    def _opening(self, highest: Statement | None, rows: Statement) -> Any:
        def work(connection: OdbcConnection) -> tuple[Any, Any]:
            high = None if highest is None else self._querying(highest)(connection)[0][0]
            with self._translated():
                return high, connection.cursor().execute(rows.sql, rows.parameters)

        return work

    def _querying(self, statement: Statement) -> Any:
        def work(connection: OdbcConnection) -> Sequence[Sequence[Any]]:
            with self._translated(), connection.cursor() as cursor:
                rows: list[Any] = cursor.execute(statement.sql, statement.parameters).fetchall()
                return rows

        return work

    def _fetching(self, result: Any, batch_rows: int) -> Any:
        def work(_: Any) -> list[Any]:
            with self._translated():
                rows: list[Any] = result.fetchmany(batch_rows)
                return rows

        return work

    def _closing(self, result: Any) -> Any:
        def work(_: Any) -> None:
            with self._translated():
                result.close()

        return work

    @contextmanager
    def _transaction(self, connection: OdbcConnection) -> Iterator[Any]:
        with self._translated(), connection.transaction() as cursor:
            yield cursor

    @contextmanager
    def _translated(self, *, is_connecting: bool = False) -> Iterator[None]:
        try:
            yield
        except load_pyodbc().Error as error:
            raise platform_error(error.args, self._where, is_connecting=is_connecting) from error
        except (UnicodeError, OverflowError) as error:  # while a parameter is bound
            raise InvalidInput(f"{self._where}: a value can't be sent: {error}") from error


def _options(dataset: Dataset) -> Options:
    try:
        return convert(dataset.options, Options)
    except OptionsError as error:
        raise InvalidInput(f"options of {dataset.object}: {error}") from error


def _statements(dialect: Dialect, dataset: Dataset) -> Statements:
    return Statements(dialect, dataset, _options(dataset).schema)


def _open(settings: Settings) -> Connection:
    return SqlServer(settings)


ADAPTER = Adapter(
    name="sqlserver",
    title="SQL Server",
    settings=Settings,
    options=Options,
    abilities=frozenset({"read", "lookup", "write"}),
    open=_open,
)
