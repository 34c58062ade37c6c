"""The sales system in a real SQL Server: loads the generated tables there once, and lets the drip change them."""

import asyncio
import importlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from examples.estate.store import Statement, Store, StoreError
from examples.estate.tables import SALES, Quote, Value

BATCH: Final = 500
BRACKETS: Final[Quote] = ("[", "]")
SCHEMA: Final = "[dbo]."
LOGIN_TIMEOUT_S: Final = 15
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SqlServerAddress:
    """Where an ODBC connection string leads; `dsn` is the string itself, with the password."""

    dsn: str
    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def parse(cls, dsn: str) -> "SqlServerAddress":
        """ValueError names the keyword that is missing. Values may stand in braces, as ODBC allows."""
        found = {}
        for part in _parts(dsn):
            keyword, _, value = part.partition("=")
            value = value.strip()
            braced = value.startswith("{") and value.endswith("}")
            found[keyword.strip().upper()] = value[1:-1].replace("}}", "}") if braced else value
        missing = [keyword for keyword in ("SERVER", "UID", "PWD", "DATABASE") if not found.get(keyword)]
        if missing:
            raise ValueError(f"--sqlserver wants an ODBC connection string; it lacks {', '.join(missing)}")
        host, _, port = found["SERVER"].removeprefix("tcp:").partition(",")
        if port and not port.strip().isdigit():
            raise ValueError("--sqlserver: SERVER must read host or host,port")
        return cls(dsn, host.strip(), int(port or 1433), found["UID"], found["PWD"], found["DATABASE"])


def _parts(dsn: str) -> list[str]:
    """The keyword=value parts; a semicolon within braces does not end one."""
    parts, braced = [""], False
    for character in dsn:
        # A doubled closing brace within braces closes and opens again: it stands for itself.
        braced = not braced if character == "}" else braced or character == "{"
        if character == ";" and not braced:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


class SqlServerStore:
    """One connection a call, in a thread: pyodbc blocks."""

    def __init__(self, address: SqlServerAddress) -> None:
        self._address = address

    async def fetch(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        def work(cursor: Any) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in cursor.execute(sql, list(values)).fetchall()]

        return await self.transaction(work)

    async def execute(self, statements: Sequence[Statement]) -> None:
        def work(cursor: Any) -> None:
            for sql, values in statements:
                cursor.execute(sql, list(values))

        await self.transaction(work)

    async def close(self) -> None:
        return None

    async def transaction(self, work: Callable[[Any], Result]) -> Result:
        """Run `work(cursor)` in one transaction; StoreError if the driver is missing or the server refuses."""
        return await asyncio.to_thread(self._transaction, work)

    def _transaction(self, work: Callable[[Any], Result]) -> Result:
        try:
            pyodbc: Any = importlib.import_module("pyodbc")
        except ImportError as error:
            raise StoreError("--sqlserver needs unixODBC: install the package unixodbc") from error
        try:
            with closing(pyodbc.connect(self._address.dsn, timeout=LOGIN_TIMEOUT_S)) as connection:
                result = work(connection.cursor())
                connection.commit()
                return result
        except pyodbc.Error as error:
            place = f"{self._address.host},{self._address.port}/{self._address.database}"
            raise StoreError(f"sales system in SQL Server at {place}: {error.args[-1]}") from error


async def load_sales(address: SqlServerAddress, generated: Path) -> bool:
    """Make the three tables in an empty database and fill them from `generated`, in one transaction.

    False if they are there already (DDL is transactional here: there means filled). StoreError if the server refuses.
    """

    def work(cursor: Any) -> bool:
        there = "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"
        if cursor.execute(there, ["dbo", SALES[0].name]).fetchone():
            return False
        for table in SALES:
            cursor.execute(table.create(BRACKETS, SCHEMA))
            cursor.execute(table.index(BRACKETS, SCHEMA))
        _copy(cursor, generated)
        return True

    return await SqlServerStore(address).transaction(work)


def _copy(cursor: Any, generated: Path) -> None:
    with closing(sqlite3.connect(generated)) as source:
        for table in SALES:
            # Decimals come out of SQLite as floats; as text they reach decimal(18,2) exactly.
            columns = ", ".join(_as_text(name) if kind.startswith("decimal") else f'"{name}"' for name, kind in table.columns)
            rows = source.execute(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608
            while batch := rows.fetchmany(BATCH):
                cursor.executemany(table.insert(BRACKETS, SCHEMA), batch)


def _as_text(name: str) -> str:
    return f"""iif("{name}" IS NULL, NULL, printf('%.2f', "{name}"))"""


_conforms: type[Store] = SqlServerStore
