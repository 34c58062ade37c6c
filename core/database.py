"""The contract of a SQL database as the stores use it: SQLite and MySQL/MariaDB implement it, each store is written once.

SQL is the portable part of both: `?` for parameters, `quote()` for identifiers, `upsert()` for keyed writes, REPLACE INTO.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Params = Sequence[Any]


class Dialect(Protocol):
    """Where the two databases differ in text. Pure."""

    @property
    def name(self) -> str:
        """`sqlite` or `mysql`."""
        ...

    def quote(self, identifier: str) -> str:
        """The identifier, safely quoted; any name is allowed."""
        ...

    def column(self, kind: str) -> str:
        """The column type for `key` (≤ 190 characters, comparable byte by byte), `text`, `integer`, `real` or `blob`."""
        ...

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], *, newer: str | None = None, stamp: str = "", rows: int = 1
    ) -> str:
        """A statement with a `?` for each column of each of `rows`: insert, or on a known key set the other columns.

        With `newer` (a column name) a known row is changed only where the given value of that column is not smaller and a column
        other than it and `stamp` really differs: a replay changes nothing.
        """
        ...

    def index(self, table: str, column: str, kind: str) -> str:
        """A statement that makes an index on one column unless it is there."""
        ...


class Session(Protocol):
    """Statements inside one transaction. Errors: Conflict (duplicate key), Unavailable (locked, full, gone)."""

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]: ...

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Number of rows changed."""
        ...

    async def executemany(self, sql: str, rows: Sequence[Params]) -> int:
        """Number of rows changed in all."""
        ...

    async def several(self, *statements: tuple[str, Params]) -> list[list[tuple[Any, ...]]]:
        """Statements one after the other, in one go where the database can; the rows that each gave (none for an UPDATE)."""
        ...

    async def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], rows: Sequence[Params], *, newer: str, stamp: str
    ) -> None:
        """Many rows by `Dialect.upsert`, the way that is fastest on this database."""
        ...


class Database(Protocol):
    """A pool of connections. `query` outside a transaction reads what is committed and never waits for a writer."""

    @property
    def dialect(self) -> Dialect: ...

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]: ...

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Committed durably when the block ends, rolled back when it raises.

        SQLite lets one writer in at a time; a writer that must be alone on MariaDB too updates its counter row first.
        """
        ...

    async def check(self) -> None:
        """Raise Unavailable, naming file or address, unless the database answers."""
        ...

    async def close(self) -> None: ...
