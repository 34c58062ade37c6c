"""The property system in a real MariaDB or MySQL: loads the generated tables there once, and lets the drip change them."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiomysql
import pymysql

from examples.estate.store import Statement, Store, StoreError
from examples.estate.tables import PROPERTY, Quote, Value

BATCH: Final = 1000
BACKTICKS: Final[Quote] = ("`", "`")


@dataclass(frozen=True, slots=True)
class MariadbAddress:
    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def parse(cls, url: str) -> "MariadbAddress":
        """From `mysql://user:password@host:port/database`, parts percent-encoded. ValueError says which part is missing."""
        parts = urlsplit(url)
        database = unquote(parts.path.strip("/"))
        if parts.scheme not in ("mysql", "mariadb") or not parts.hostname or not parts.username or not database:
            raise ValueError("--mariadb wants mysql://user:password@host:port/database")
        return cls(parts.hostname, parts.port or 3306, unquote(parts.username), unquote(parts.password or ""), database)


class MariadbStore:
    """One connection a call: the drip is slow, and nothing has to be mended after the server was away."""

    def __init__(self, address: MariadbAddress) -> None:
        self._address = address

    async def fetch(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        async with self.connected() as connection, connection.cursor() as cursor:
            await cursor.execute(sql.replace("?", "%s"), values)
            return list(await cursor.fetchall())

    async def execute(self, statements: Sequence[Statement]) -> None:
        async with self.connected() as connection, connection.cursor() as cursor:
            await connection.begin()
            for sql, values in statements:
                await cursor.execute(sql.replace("?", "%s"), values)
            await connection.commit()

    async def close(self) -> None:
        return None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A connection for one task; what fails in it rolls back and comes out as StoreError."""
        address = self._address
        try:
            async with aiomysql.connect(
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                db=address.database,
                charset="utf8mb4",
                connect_timeout=10,
                # MySQL's own default refuses the zero dates that old imports have left; this system must hold them.
                init_command="SET SESSION sql_mode = 'STRICT_TRANS_TABLES'",
            ) as connection:
                yield connection
        except (pymysql.MySQLError, OSError) as error:
            place = f"{address.host}:{address.port}/{address.database}"
            raise StoreError(f"property system in MariaDB at {place}: {error}") from error


async def load_property(address: MariadbAddress, generated: Path) -> bool:
    """Make the four tables in an empty database and fill them from `generated`, in one transaction.

    False if they are filled already: the system lives on between starts. StoreError if the server refuses.
    """
    store = MariadbStore(address)
    async with store.connected() as connection, connection.cursor() as cursor:
        there = await _tables(cursor, address)
        if there >= {table.name for table in PROPERTY} and await _is_filled(cursor):
            return False
        for table in PROPERTY:
            if table.name in there:  # a load that was cut off has left it empty
                await cursor.execute(f"DROP TABLE `{table.name}`")
            await cursor.execute(table.create(BACKTICKS, ending=" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"))
            await cursor.execute(table.index(BACKTICKS))
        await connection.begin()
        with closing(sqlite3.connect(generated)) as source:
            for table in PROPERTY:
                rows = source.execute(f'SELECT * FROM "{table.name}"')  # noqa: S608
                while batch := rows.fetchmany(BATCH):
                    await cursor.executemany(table.insert(BACKTICKS, placeholder="%s"), batch)
        await connection.commit()
    return True


async def _tables(cursor: Any, address: MariadbAddress) -> set[str]:
    await cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (address.database,))
    return {name for (name,) in await cursor.fetchall()}


async def _is_filled(cursor: Any) -> bool:
    await cursor.execute(f"SELECT count(*) FROM `{PROPERTY[0].name}`")  # noqa: S608
    return bool((await cursor.fetchone())[0])


_conforms: type[Store] = MariadbStore
