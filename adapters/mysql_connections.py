"""aiomysql connections of one source: made when needed, kept, replaced when they broke.

aiomysql's own pool is not used: it wakes nobody when a broken connection comes back, and connects one after the other.
"""

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from adapters.mysql_errors import platform_error
from adapters.sql_pool import CONNECTION_LOST
from core.errors import Forbidden, InvalidInput, NotConnected, NotFound, Unavailable
from core.secret import Secret

CLOSE_S = 2.0
"""How long `close` waits for a server to take the good-bye."""

_STATEMENT_ERRORS = (InvalidInput, NotFound, Forbidden)
T = TypeVar("T")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a MySQL or MariaDB source. With `tls` the server's certificate must be signed by an authority that this machine trusts."""

    host: str
    database: str
    user: str
    password: Secret
    port: Annotated[int, Meta(ge=1, le=65535)] = 3306
    charset: str = "utf8mb4"
    tls: bool = False
    connect_timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    max_connections: Annotated[int, Meta(ge=1, le=64)] = 16


class Connections:
    """At most `max_connections` at a time; further calls wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._where = f"MySQL {settings.host}:{settings.port}"
        self._places = asyncio.Semaphore(settings.max_connections)
        self._idle: list[Any] = []
        self._leased: set[Any] = set()
        self._is_closed = False

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Await `work(connection)`, which may run twice: once more where an idle connection turns out to be broken."""
        async with self.started(work) as (_, result):
            return result

    @asynccontextmanager
    async def started(self, work: Callable[[Any], Awaitable[T]]) -> AsyncIterator[tuple[Any, T]]:
        """A connection for more than one step, with the result of the first. It is closed where the block does not end well."""
        async with self._places:
            connection, result = await self._first(work)
            with self._held(connection):
                yield connection, result

    @contextmanager
    def translated(self, *, is_connecting: bool = False) -> Iterator[None]:
        """The driver's exceptions as the platform's."""
        errors: Any = importlib.import_module("pymysql.err")
        try:
            yield
        except errors.MySQLError as error:
            raise platform_error(error.args, self._where, is_connecting=is_connecting) from error
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise platform_error((2013, str(error)), self._where, is_connecting=is_connecting) from error
        except UnicodeError as error:
            raise InvalidInput(f"{self._where}: text that {self._settings.charset} can't hold: {error}") from error

    async def close(self) -> None:
        """Idempotent. Calls under way fail."""
        self._is_closed = True
        for connection in self._leased:
            connection.close()
        idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(TimeoutError), self.translated():
                async with asyncio.timeout(CLOSE_S):
                    await connection.ensure_closed()
            connection.close()

    async def _first(self, work: Callable[[Any], Awaitable[T]]) -> tuple[Any, T]:
        connection, was_idle = await self._lease()
        try:
            with self._held(connection, ends=False), self.translated():
                return connection, await work(connection)
        except Unavailable as error:
            if not (was_idle and error.specific_code == CONNECTION_LOST):
                raise
        while self._idle:
            self._idle.pop().close()  # the server went away under all of them
        return await self._first(work)

    @contextmanager
    def _held(self, connection: Any, *, ends: bool = True) -> Iterator[None]:
        """Give the connection back where the block ends well (and `ends` the lease) or fails by its statement; else close it."""
        try:
            yield
        except _STATEMENT_ERRORS:
            self._give_back(connection)
            raise
        except BaseException:
            self._leased.discard(connection)
            connection.close()
            raise
        if ends:
            self._give_back(connection)

    async def _lease(self) -> tuple[Any, bool]:
        if self._is_closed:
            raise NotConnected(f"{self._where}: the connection was closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                self._leased.add(connection)
                return connection, True
        connection = await self._connect()
        self._leased.add(connection)
        return connection, False

    def _give_back(self, connection: Any) -> None:
        self._leased.discard(connection)
        if self._is_closed:
            connection.close()
        elif not connection.closed:
            self._idle.append(connection)

    async def _connect(self) -> Any:
        aiomysql: Any = importlib.import_module("aiomysql")
        client: Any = importlib.import_module("pymysql.constants.CLIENT")
        settings = self._settings
        try:
            with self.translated(is_connecting=True):
                async with asyncio.timeout(settings.connect_timeout_s):
                    return await aiomysql.connect(
                        host=settings.host,
                        port=settings.port,
                        user=settings.user,
                        password=settings.password.reveal(),
                        db=settings.database,
                        charset=settings.charset,
                        autocommit=True,
                        conv=_conversions(),
                        client_flag=client.FOUND_ROWS,  # an UPDATE counts the rows it found, not those it changed
                        ssl=ssl.create_default_context() if settings.tls else None,
                    )
        except TimeoutError as error:
            raise NotConnected(f"{self._where}: no answer within {settings.connect_timeout_s:g} s") from error


def _conversions() -> dict[Any, Any]:
    """Numbers become Python's; dates, times and decimals stay text: exact, zero dates included, and much faster."""
    converters: Any = importlib.import_module("pymysql.converters")
    kinds: Any = importlib.import_module("pymysql.constants.FIELD_TYPE")
    integers = (kinds.TINY, kinds.SHORT, kinds.LONG, kinds.LONGLONG, kinds.INT24, kinds.YEAR)
    return {
        **converters.encoders,
        **dict.fromkeys(integers, int),
        **dict.fromkeys((kinds.FLOAT, kinds.DOUBLE), float),
        kinds.BIT: _bits,
    }


def _bits(raw: bytes) -> int:
    return int.from_bytes(raw, "big")
