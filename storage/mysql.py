"""core.database on MySQL 8 or MariaDB through aiomysql; the driver is imported when a node first needs it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from core.database import Database, Dialect, Params, Session
from core.errors import ConfigError, Conflict, NotConnected, Unavailable

_KINDS = {
    "key": "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "text": "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "integer": "BIGINT",
    "real": "DOUBLE",
    "blob": "LONGBLOB",
}
_DUPLICATE_KEY = 1062
_POOL = 8
# One statement, for the driver sends only one. MariaDB and MySQL name the level differently, and each skips the other's comment.
_SESSION = "SET SESSION /*M!100000 tx_isolation */ /*!50720 transaction_isolation */ = 'READ-COMMITTED', SESSION sql_notes = 0"


class MysqlDialect:
    """MySQL's text; `<=>` compares with NULLs equal."""

    name = "mysql"

    def quote(self, identifier: str) -> str:
        return "`" + identifier.replace("`", "``") + "`"

    def column(self, kind: str) -> str:
        return _KINDS[kind]

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], *, newer: str | None = None, stamp: str = "", rows: int = 1
    ) -> str:
        q = self.quote
        values = [column for column in columns if column not in key]
        # The blank in "VALUES (" is what lets aiomysql send many rows in one statement.
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
        text = f"INSERT INTO {q(table)} ({', '.join(map(q, columns))}) VALUES {marks}"  # noqa: S608
        text += " ON DUPLICATE KEY UPDATE "
        if newer is None:
            return text + ", ".join(f"{q(c)} = VALUES({q(c)})" for c in values)
        compared = [column for column in values if column not in (newer, stamp)]
        same = " AND ".join(f"{q(c)} <=> VALUES({q(c)})" for c in compared)
        condition = f"VALUES({q(newer)}) >= {q(newer)} AND NOT ({same})"
        # Assignments run left to right and see each other, so the first one decides and remembers for the rest.
        first, *rest = [*([stamp] if stamp else []), *compared]
        parts = [f"{q(first)} = IF(@is_news := ({condition}), VALUES({q(first)}), {q(first)})"]
        parts += [f"{q(c)} = IF(@is_news, VALUES({q(c)}), {q(c)})" for c in rest]
        # What was only seen again keeps its stamp, and its new moment guards it against what was seen in between.
        return text + ", ".join([*parts, f"{q(newer)} = GREATEST({q(newer)}, VALUES({q(newer)}))"])

    def index(self, table: str, column: str, kind: str) -> str:
        prefix = "(64)" if kind == "text" else ""
        name = self.quote(f"ix_{column}")
        return f"CREATE INDEX IF NOT EXISTS {name} ON {self.quote(table)} ({self.quote(column)}{prefix})"


_QUOTED_OR_MARK = re.compile(r"`(?:[^`]|``)*`|'(?:[^']|'')*'|[?%]")


def _formatted(sql: str) -> str:
    """`?` parameters as aiomysql's `%s`; inside quotes `?` and `%` are meant as they stand."""
    return _QUOTED_OR_MARK.sub(lambda found: "%s" if found[0] == "?" else found[0].replace("%", "%%"), sql)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    import pymysql

    try:
        yield
    except pymysql.err.IntegrityError as error:
        if error.args[0] == _DUPLICATE_KEY:
            raise Conflict(f"{where}: {error.args[1]}") from error
        raise Unavailable(f"{where}: {error.args[1]}") from error
    except pymysql.err.MySQLError as error:
        raise Unavailable(f"{where}: {error.args[-1] if error.args else error}") from error
    except (OSError, RuntimeError) as error:  # aiomysql raises RuntimeError on a connection it has closed itself
        raise Unavailable(f"{where}: {error}") from error


class _MysqlSession:
    """Statements on one connection."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self._where = where

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        with _translated(self._where):
            async with self._connection.cursor() as cursor:
                await cursor.execute(_formatted(sql), tuple(params))
                return list(await cursor.fetchall())

    async def execute(self, sql: str, params: Params = ()) -> int:
        with _translated(self._where):
            async with self._connection.cursor() as cursor:
                return int(await cursor.execute(_formatted(sql), tuple(params)))

    async def executemany(self, sql: str, rows: Sequence[Params]) -> int:
        with _translated(self._where):
            async with self._connection.cursor() as cursor:
                return int(await cursor.executemany(_formatted(sql), rows) or 0)

    async def several(self, *statements: tuple[str, Params]) -> list[list[tuple[Any, ...]]]:
        return [await self.query(sql, params) for sql, params in statements]

    async def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Params], *, newer: str, stamp: str
    ) -> None:
        """aiomysql makes few long statements of it by itself."""
        await self.executemany(MysqlDialect().upsert(table, columns, key, newer=newer, stamp=stamp), rows)


class MysqlDatabase:
    """See core.database. `where` names host and database in messages; the password never appears."""

    def __init__(self, pool: Any, where: str) -> None:
        self._pool = pool
        self._where = where
        # aiomysql wakes nobody when a connection comes back closed: whoever waited for one would wait for ever.
        self._places = asyncio.Semaphore(_POOL)

    @property
    def dialect(self) -> Dialect:
        return MysqlDialect()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Any, _MysqlSession]]:
        async with self._places:
            with _translated(self._where):
                connection = await self._pool.acquire()
            try:
                yield connection, _MysqlSession(connection, self._where)
            finally:
                self._pool.release(connection)

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        async with self._session() as (_, session):
            return await session.query(sql, params)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._session() as (connection, session):
            await session.execute("START TRANSACTION")
            try:
                yield session
            except BaseException:
                # Closed rather than rolled back: after a cancelled statement the protocol's state is not known.
                connection.close()
                raise
            await session.execute("COMMIT")

    async def check(self) -> None:
        await self.query("SELECT 1")

    async def close(self) -> None:
        self._pool.close()
        await self._pool.wait_closed()


async def open_mysql(url: str, *, connects: bool = True) -> MysqlDatabase:
    """`mysql://user:password@host:port/database`. Raises ConfigError for a bad address or login, NotConnected if unreachable."""
    import aiomysql
    import pymysql

    # aiomysql 0.3 escapes bytes by a function that PyMySQL 1.2 has taken away: without this no bytes can be a parameter.
    aiomysql.connection.escape_bytes_prefixed = pymysql.converters.escape_bytes
    parts = urlsplit(url)
    if parts.scheme != "mysql" or not parts.hostname or not parts.path.strip("/"):
        raise ConfigError("database: expected mysql://user:password@host:port/database")
    name = parts.path.strip("/")
    where = f"database {name} at {parts.hostname}:{parts.port or 3306}"
    try:
        pool = await aiomysql.create_pool(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=name,
            minsize=int(connects),
            maxsize=_POOL,
            autocommit=True,
            charset="utf8mb4",
            connect_timeout=10,
            pool_recycle=1800,
            # A second statement of a transaction sees what others have committed since: readers never lag behind.
            # Notes (a table that IF NOT EXISTS found) would become Python warnings.
            init_command=_SESSION,
        )
    except pymysql.err.OperationalError as error:
        if error.args[0] in (1044, 1045, 1049):
            raise ConfigError(f"{where}: {error.args[1]}") from error
        raise NotConnected(f"{where}: {error.args[-1]}") from error
    return MysqlDatabase(pool, where)


def _conforms(database: MysqlDatabase) -> tuple[Database, Dialect]:
    return database, MysqlDialect()
