"""One client's session on the SQLite file: its connection, its transaction, its thread.

Nothing is locked before the first write: until then every SELECT sees the latest commit, as under READ COMMITTED. The
write lock is taken by BEGIN IMMEDIATE, so that a transaction never fails half way for a stale snapshot.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from examples.estate.wire.catalog import (
    Dialect,
    attach_information_schema,
    fill_information_schema,
    read_tables,
    temporal_columns,
)
from examples.estate.wire.declared import parse_declared
from examples.estate.wire.failures import Fault, SqlFailure, sqlite_failures
from examples.estate.wire.moments import Value, as_declared, cast_declared
from examples.estate.wire.result_columns import ResultColumn, Row, resolve
from examples.estate.wire.statement import Statement, Verb, probe_of, typed_table

PIECE_ROWS: Final = 1000
_BUSY_TIMEOUT_S: Final = 5.0
_REMEMBERED_PROBES: Final = 256

P = ParamSpec("P")
T = TypeVar("T")


class Rows:
    """A running SELECT: its resolved columns, and its rows in pieces of `PIECE_ROWS`, in the session's thread."""

    def __init__(self, cursor: sqlite3.Cursor, columns: tuple[ResultColumn, ...], first: list[Row]) -> None:
        self.columns = columns
        self._cursor = cursor
        self._first: list[Row] | None = first

    def piece(self) -> list[Row]:
        """Return the next rows, none at the end. Raises SqlFailure, CANCELLED after `Session.interrupt`."""
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        with sqlite_failures():
            return self._cursor.fetchmany(PIECE_ROWS)

    def close(self) -> None:
        """Let go of the read snapshot."""
        self._cursor.close()


class Session:
    """Blocking methods run in the session's own thread through `call`; only `interrupt` may come from elsewhere."""

    def __init__(self, database: Path, dialect: Dialect, functions: Mapping[str, Callable[..., Value]]) -> None:
        self.dialect = dialect
        self.depth = 0
        self.is_implicit = False
        self.isolation = "READ COMMITTED"
        self.affected_rows = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="estate-sql")
        self._database = database
        self._functions = functions
        self._connection: sqlite3.Connection | None = None
        self._declared: dict[tuple[object, ...], list[str]] = {}
        self._temporal: tuple[int, Mapping[str, str]] | None = None

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the session's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def open(self) -> None:
        """Connect. Raises SqlFailure when the file is missing or no database."""
        with sqlite_failures():
            uri = f"{self._database.resolve().as_uri()}?mode=rw"
            # The connection stays in one thread; only interrupt() is called from the loop's.
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
            self._connection = connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.create_function("as_declared", 2, as_declared, deterministic=True)
            connection.create_function("cast_declared", 2, cast_declared, deterministic=True)
            for name, function in self._functions.items():
                connection.create_function(name, -1, function, deterministic=True)
            attach_information_schema(connection)

    def close(self) -> None:
        """End from the loop: stop what runs, roll back, disconnect; does not wait."""
        self.interrupt()
        if self._connection is not None:
            self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)

    def interrupt(self) -> None:
        """Make the running statement fail with CANCELLED; without one, nothing happens."""
        if self._connection is not None:
            self._connection.interrupt()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        assert self._connection is not None, "open() comes first"
        return self._connection

    def temporal_columns(self) -> Mapping[str, str]:
        """Return the file's date and time columns (lower-case name → declaration), read again when the schema changed."""
        version = self._schema_version()
        if self._temporal is None or self._temporal[0] != version:
            tables = read_tables(self.connection)
            self._temporal = version, temporal_columns(tables, is_mysql=self.dialect.is_mysql)
        return self._temporal[1]

    def run(self, statement: Statement, parameters: Mapping[str, object], parameter_types: Mapping[str, str]) -> Rows | int | None:
        """Do one statement: Rows of a SELECT, the count of a write, None otherwise. Raises SqlFailure."""
        action = _ACTIONS.get(statement.verb)
        if action is not None:
            action(self, statement)
            return None
        self._enter(statement)
        try:
            with sqlite_failures():
                return self._execute(statement, parameters, parameter_types)
        except SqlFailure as failure:
            self._after(failure)
            raise

    def begin(self) -> None:
        """Open a transaction, or one level more of it."""
        self.depth += 1

    def commit(self) -> None:
        """Close one level; the outermost commits."""
        self.depth = max(self.depth - 1, 0)
        if self.depth == 0 and self.connection.in_transaction:
            with sqlite_failures():
                self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo all levels."""
        self.depth = 0
        if self.connection.in_transaction:
            with sqlite_failures():
                self.connection.execute("ROLLBACK")

    def reset(self) -> None:
        """Back to the state after login."""
        self.rollback()
        self.is_implicit = False
        self.isolation = "READ COMMITTED"

    def _enter(self, statement: Statement) -> None:
        if self.is_implicit and self.depth == 0 and (statement.verb is Verb.WRITE or statement.reads_table):
            self.depth = 1
        if self.depth == 0 or self.connection.in_transaction:
            return
        is_strict = self.isolation in ("SERIALIZABLE", "REPEATABLE READ")
        if statement.verb in (Verb.WRITE, Verb.SAVEPOINT) or statement.locks or is_strict:
            self._start("BEGIN IMMEDIATE")
        elif self.isolation == "SNAPSHOT":
            self._start("BEGIN")

    def _start(self, begin: str) -> None:
        try:
            with sqlite_failures():
                self.connection.execute(begin)
        except SqlFailure as failure:
            self._after(failure)
            raise

    def _after(self, failure: SqlFailure) -> None:
        # SQL Server's deadlock victim loses its transaction; MySQL's lock wait only its statement.
        if failure.fault is Fault.LOCKED and not self.dialect.is_mysql:
            self.rollback()

    def _execute(self, statement: Statement, parameters: Mapping[str, object], parameter_types: Mapping[str, str]) -> Rows | int:
        if statement.reads_catalog:
            fill_information_schema(self.connection, read_tables(self.connection), self.dialect)
        declared = self._declared_types(statement, parameter_types) if statement.verb is Verb.QUERY else []
        cursor = self.connection.execute(statement.sql, dict(parameters))
        if cursor.description is None:
            self.affected_rows = max(cursor.rowcount, 0)
            return self.affected_rows
        first: list[Row] = cursor.fetchmany(PIECE_ROWS)
        names = [column[0] for column in cursor.description]
        types = [parse_declared(text, is_mysql=self.dialect.is_mysql) for text in declared]

        def profile(sql: str) -> Row:
            found: Row = self.connection.execute(sql, dict(parameters)).fetchone()
            return found

        ask = profile if len(first) == PIECE_ROWS and statement.verb is Verb.QUERY else None
        return Rows(cursor, resolve(names, types, first, statement.sql, ask), first)

    def _declared_types(self, statement: Statement, parameter_types: Mapping[str, str]) -> list[str]:
        key = (statement.sql, tuple(parameter_types.items()), self._schema_version())
        if key not in self._declared:
            if len(self._declared) >= _REMEMBERED_PROBES:
                self._declared.clear()
            self._declared[key] = self._probe(statement, parameter_types)
        return self._declared[key]

    def _probe(self, statement: Statement, parameter_types: Mapping[str, str]) -> list[str]:
        probe = probe_of(statement.tokens, parameter_types)
        execute = self.connection.execute
        try:
            execute("DROP VIEW IF EXISTS temp.probe")
            if probe.declarations:
                execute("DROP TABLE IF EXISTS temp.typed")
                execute(typed_table(probe.declarations))
            execute(f"CREATE TEMP VIEW probe AS {probe.sql}")
            return [str(row[2]) for row in execute("PRAGMA temp.table_info(probe)").fetchall()]
        except sqlite3.Error:
            # Then all types come from the values; what is wrong with the statement shows when it runs.
            return []

    def _schema_version(self) -> int:
        return int(self.connection.execute("PRAGMA main.schema_version").fetchone()[0])

    def _end(self, statement: Statement, finish: Callable[[], None]) -> None:
        if self.depth > 0:
            finish()
        elif not statement.only_in_transaction and not self.dialect.is_mysql:
            raise SqlFailure(Fault.NO_TRANSACTION, near=statement.verb.name)

    def _savepoint(self, statement: Statement) -> None:
        self._enter(statement)
        with sqlite_failures():
            self.connection.execute(statement.sql)

    def _set_isolation(self, statement: Statement) -> None:
        self.isolation = statement.name

    def _set_implicit(self, statement: Statement) -> None:
        self.is_implicit = statement.verb is Verb.IMPLICIT_ON


_ACTIONS: Final[Mapping[Verb, Callable[[Any, Statement], None]]] = {
    Verb.BEGIN: lambda session, _: session.begin(),
    Verb.COMMIT: lambda session, statement: session._end(statement, session.commit),
    Verb.ROLLBACK: lambda session, statement: session._end(statement, session.rollback),
    Verb.SAVEPOINT: lambda session, statement: session._savepoint(statement),
    Verb.ISOLATION: lambda session, statement: session._set_isolation(statement),
    Verb.IMPLICIT_ON: lambda session, statement: session._set_implicit(statement),
    Verb.IMPLICIT_OFF: lambda session, statement: session._set_implicit(statement),
    Verb.NOTHING: lambda session, statement: None,
    Verb.USE: lambda session, statement: None,
}
