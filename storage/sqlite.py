"""core.database on SQLite: one writing connection and a few reading ones, each in a thread of its own. WAL, synchronous FULL."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from core.database import Database, Dialect, Params, Session
from core.errors import Conflict, PlatformError, Unavailable
from core.lane import Lane
from storage.wal import is_full, use_wal

T = TypeVar("T")
_BUSY_TIMEOUT_S = 10.0
_READERS = 2
_ROWS_AT_ONCE = 100  # of up to 327 columns: SQLite takes 32,766 parameters
_KINDS = {"key": "TEXT", "text": "TEXT", "integer": "INTEGER", "real": "REAL", "blob": "BLOB"}


class SqliteDialect:
    """SQLite's text. Needs 3.32 (upsert, iif); row values compare with IS NOT, so that NULLs count as equal."""

    name = "sqlite"

    def quote(self, identifier: str) -> str:
        return '"' + identifier.replace('"', '""') + '"'

    def column(self, kind: str) -> str:
        return _KINDS[kind]

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], *, newer: str | None = None, stamp: str = "", rows: int = 1
    ) -> str:
        q = self.quote
        values = [column for column in columns if column not in key]
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
        text = f"INSERT INTO {q(table)} ({', '.join(map(q, columns))}) VALUES {marks}"  # noqa: S608
        text += f" ON CONFLICT ({', '.join(map(q, key))}) DO UPDATE SET " + ", ".join(f"{q(c)} = excluded.{q(c)}" for c in values)
        if newer is None:
            return text
        compared = [column for column in values if column not in (newer, stamp)]
        mine = ", ".join(f"{q(table)}.{q(c)}" for c in compared)
        given = ", ".join(f"excluded.{q(c)}" for c in compared)
        is_news = f"({mine}) IS NOT ({given})"
        # What was only seen again keeps its stamp, and its new moment guards it against what was seen in between.
        if stamp:
            text = text.replace(
                f"{q(stamp)} = excluded.{q(stamp)}", f"{q(stamp)} = iif({is_news}, excluded.{q(stamp)}, {q(table)}.{q(stamp)})"
            )
        known, came = f"{q(table)}.{q(newer)}", f"excluded.{q(newer)}"
        return text + f" WHERE {came} > {known} OR ({came} = {known} AND {is_news})"

    def index(self, table: str, column: str, kind: str) -> str:
        name = self.quote(f"{table}__{column}")
        return f"CREATE INDEX IF NOT EXISTS {name} ON {self.quote(table)} ({self.quote(column)})"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's exceptions as the platform's; the message names the file and what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise Conflict(f"{path}: {error}") from error
    except sqlite3.OperationalError as error:
        if is_full(error):
            text = f"no room is left on the disk of {path.name}: free some, nothing was changed"
            raise Unavailable(text, code="disk_full") from error
        raise Unavailable(f"{path}: {error}{_advice(str(error))}") from error
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError):
        raise  # our own mistake, not the file's
    except sqlite3.DatabaseError as error:
        raise Unavailable(
            f"{path} is damaged or no SQLite database ({error}); it was left as it is: restore it from a backup, or move it away",
            code="database_damaged",
        ) from error


def _advice(text: str) -> str:
    if "unable to open" in text or "readonly" in text:
        return "; make the folder and the file writable for this user"
    return ""


class _Writer:
    """Statements on the writing connection, each in its thread."""

    def __init__(self, database: "SqliteDatabase") -> None:
        self._database = database
        self.has_begun = False

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The first statement begins the transaction: one way to the thread and back less."""
        if self.has_begun:
            return await self._database.on_writer(work)
        self.has_begun = True

        def begin(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            return work(connection)

        return await self._database.on_writer(begin)

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        return await self._do(lambda connection: connection.execute(sql, params).fetchall())

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self._do(lambda connection: connection.execute(sql, params).rowcount)

    async def executemany(self, sql: str, rows: Sequence[Params]) -> int:
        return await self._do(lambda connection: connection.executemany(sql, rows).rowcount)

    async def several(self, *statements: tuple[str, Params]) -> list[list[tuple[Any, ...]]]:
        return await self._do(lambda connection: [connection.execute(sql, params).fetchall() for sql, params in statements])

    async def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Params], *, newer: str, stamp: str
    ) -> None:
        """Many rows in one statement: Python's lock is let go once for all of them and not once a row, which is what lets a load
        read on while it writes (7 µs of CPU a row of 12 columns against 10, and no fight for the lock)."""
        text = partial(self._database.dialect.upsert, table, columns, key, newer=newer, stamp=stamp)
        whole = len(rows) // _ROWS_AT_ONCE * _ROWS_AT_ONCE

        def work(connection: sqlite3.Connection) -> None:
            many = text(rows=_ROWS_AT_ONCE) if whole else ""
            for start in range(0, whole, _ROWS_AT_ONCE):
                connection.execute(many, list(chain.from_iterable(rows[start : start + _ROWS_AT_ONCE])))
            connection.executemany(text(), rows[whole:])

        await self._do(work)


class SqliteDatabase:
    """See core.database. Several processes may open the same file; the busy timeout is 10 s."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = asyncio.Lock()
        self._writer = Lane(f"write-{path.name}")
        self._readers = Lane(f"read-{path.name}", threads=_READERS)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._is_closed = False

    @property
    def dialect(self) -> Dialect:
        return SqliteDialect()

    def _connection(self, *, is_writer: bool) -> sqlite3.Connection:
        """This thread's connection. A list keeps all of them, because a thread's locals can't be closed from outside."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._connections.append(connection)
            if is_writer:
                use_wal(connection, within_s=_BUSY_TIMEOUT_S)
                connection.execute("PRAGMA synchronous = FULL")
                # A load comes in the order of change, which is no order of keys: its pages stay in memory and in the log longer.
                connection.execute("PRAGMA cache_size = -32768")
                connection.execute("PRAGMA wal_autocheckpoint = 8192")
            else:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("PRAGMA cache_size = -8192")
            self._local.connection = connection
        return connection

    async def _run(self, lane: Lane, work: Callable[[sqlite3.Connection], T], *, is_writer: bool) -> T:
        if self._is_closed:
            raise Unavailable(f"{self._path}: the database was closed")

        def run() -> T:
            with _translated(self._path):
                return work(self._connection(is_writer=is_writer))

        return await lane.run(run)

    async def on_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writing thread. Only for a `transaction()` that is open."""
        return await self._run(self._writer, work, is_writer=True)

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        return await self._run(self._readers, lambda connection: connection.execute(sql, params).fetchall(), is_writer=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._writing:
            try:
                session = _Writer(self)
                yield session
                if session.has_begun:
                    await self.on_writer(_commit)
            except BaseException:
                # Shielded: a cancelled caller must not leave the transaction open for the next one.
                await asyncio.shield(self.on_writer(_roll_back))
                raise

    async def check(self) -> None:
        await self.query("SELECT count(*) FROM sqlite_schema")

    async def close(self) -> None:
        """Idempotent. Waits for the statements under way."""
        if self._is_closed:
            return
        self._is_closed = True
        for lane in (self._writer, self._readers):
            await lane.close()
        for connection in self._connections:
            connection.close()


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Also after a COMMIT that a full disk refused, which leaves the transaction open."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


async def open_sqlite(path: Path) -> SqliteDatabase:
    """Open or make the file. Raises Unavailable, saying what to do, where it is not writable or not a database."""
    database = SqliteDatabase(path)
    try:
        await database.on_writer(lambda connection: connection.execute("PRAGMA schema_version").fetchall())
        await database.check()
    except PlatformError:
        await database.close()
        raise
    return database


def _conforms(database: SqliteDatabase) -> tuple[Database, Dialect]:
    return database, SqliteDialect()
