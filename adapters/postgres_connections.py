"""asyncpg connections of one source: made when needed, kept, replaced when they broke; values as exact text or bytes."""

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from adapters.postgres_errors import platform_error
from adapters.sql_pool import CONNECTION_LOST
from core.errors import InvalidInput, NotConnected, Unavailable
from core.secret import Secret

CLOSE_S = 2.0
"""How long `close` waits for a server to take the good-bye."""

_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "numeric", "money", "uuid", "json", "jsonb")
_AS_TEXT_TOO = ("bit", "varbit", "inet", "cidr", "macaddr")
_SESSION = {"datestyle": "ISO, YMD", "intervalstyle": "iso_8601", "timezone": "UTC"}
T = TypeVar("T")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a PostgreSQL source. With `tls` the server's certificate must be signed by an authority that this machine trusts.
    `schema` is where an object is looked for that names none."""

    host: str
    database: str
    user: str
    password: Secret
    port: Annotated[int, Meta(ge=1, le=65535)] = 5432
    schema: str = "public"
    tls: bool = False
    connect_timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    max_connections: Annotated[int, Meta(ge=1, le=64)] = 16


class Connections:
    """At most `max_connections` at a time; further calls wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._where = f"PostgreSQL {settings.host}:{settings.port}"
        self._places = asyncio.Semaphore(settings.max_connections)
        self._idle: list[Any] = []
        self._leased: set[Any] = set()
        self._is_closed = False

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Await `work(connection)`, which may run twice: once more where an idle connection turns out to be broken."""
        async with self._places:
            while True:
                connection, was_idle = await self._lease()
                try:
                    with self.translated():
                        return await work(connection)
                except Unavailable as error:
                    if not (was_idle and error.specific_code == CONNECTION_LOST):
                        raise
                finally:
                    self._give_back(connection)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Any]:
        """A connection for more than one step, which is alive. It is closed where the block does not end well: a query may still be
        under way on it."""
        async with self._places:
            connection = await self._alive()
            try:
                with self.translated():
                    yield connection
            except BaseException:
                connection.terminate()
                raise
            finally:
                self._give_back(connection)

    async def _alive(self) -> Any:
        while True:
            connection, was_idle = await self._lease()
            if not was_idle:
                return connection
            try:
                with self.translated():
                    await connection.execute("SELECT 1")
            except Unavailable:
                connection.terminate()
                self._leased.discard(connection)
                continue
            except BaseException:
                self._leased.discard(connection)
                connection.terminate()
                raise
            return connection

    @contextmanager
    def translated(self, *, is_connecting: bool = False) -> Iterator[None]:
        """The driver's exceptions as the platform's."""
        asyncpg: Any = importlib.import_module("asyncpg")
        try:
            yield
        except asyncpg.PostgresError as error:
            raise platform_error(error.sqlstate or "XX000", str(error), self._where, is_connecting=is_connecting) from error
        except UnicodeError as error:
            raise InvalidInput(f"{self._where}: a value can't be sent: {error}") from error
        except (asyncpg.InterfaceError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise platform_error("08006", str(error), self._where, is_connecting=is_connecting) from error

    async def close(self) -> None:
        """Idempotent. Calls under way fail."""
        self._is_closed = True
        for connection in self._leased:
            connection.terminate()
        idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(TimeoutError, Unavailable), self.translated():
                await connection.close(timeout=CLOSE_S)

    async def _lease(self) -> tuple[Any, bool]:
        if self._is_closed:
            raise NotConnected(f"{self._where}: the connection was closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._leased.add(connection)
                return connection, True
        connection = await self._connect()
        self._leased.add(connection)
        return connection, False

    def _give_back(self, connection: Any) -> None:
        self._leased.discard(connection)
        if self._is_closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append(connection)

    async def _connect(self) -> Any:
        asyncpg: Any = importlib.import_module("asyncpg")
        settings = self._settings
        connection = None
        try:
            with self.translated(is_connecting=True):
                async with asyncio.timeout(settings.connect_timeout_s):
                    connection = await asyncpg.connect(
                        host=settings.host,
                        port=settings.port,
                        user=settings.user,
                        password=settings.password.reveal(),
                        database=settings.database,
                        ssl=ssl.create_default_context() if settings.tls else False,
                        server_settings=_SESSION,
                    )
                    for name in (*_AS_TEXT, *_AS_TEXT_TOO):  # exact, whatever Python's types can hold
                        await connection.set_type_codec(name, encoder=str, decoder=str, schema="pg_catalog", format="text")
                    return connection
        except TimeoutError as error:
            if connection is not None:
                connection.terminate()
            raise NotConnected(f"{self._where}: no answer within {settings.connect_timeout_s:g} s") from error
        except OSError as error:
            raise NotConnected(f"{self._where}: {error.strerror or error}") from error
