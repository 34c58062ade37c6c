"""Where changes of the sales and property systems go: the embedded SQLite file, MariaDB or SQL Server, by one protocol."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from examples.estate.tables import Value

Statement = tuple[str, Sequence[Value]]
"""SQL with `?` for each value; portable between the three databases."""

LOCK_TIMEOUT_S = 5.0


class StoreError(Exception):
    """The database refused or could not be reached; the message says which and why, without a password."""


class Store(Protocol):
    """A database that the drip may change. Calls may overlap. Each method raises StoreError."""

    async def fetch(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        ...

    async def execute(self, statements: Sequence[Statement]) -> None:
        """Run the statements in one transaction."""
        ...

    async def close(self) -> None:
        """Give back connections. Idempotent."""
        ...


class SqliteStore:
    """A SQLite file that is being served. Works in a thread: the loop must go on serving while a lock is waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._fetch, sql, values)

    async def execute(self, statements: Sequence[Statement]) -> None:
        await asyncio.to_thread(self._execute, statements)

    async def close(self) -> None:
        return None

    def _fetch(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as connection:
                return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path.name}: {error}") from error

    def _execute(self, statements: Sequence[Statement]) -> None:
        try:
            with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as connection, connection:
                for sql, values in statements:
                    connection.execute(sql, values)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path.name}: {error}") from error


_conforms: type[Store] = SqliteStore
