"""The composition of the estate: generates, starts the six servers, prints the ready line, and closes all in order."""

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from core.supervise import Tasks
from examples.estate.broker import BrokerFeed
from examples.estate.callcentre import callcentre_server
from examples.estate.credentials import USERS, ensure_credentials
from examples.estate.drip import Drip, Stores
from examples.estate.generate import ensure_estate_apart
from examples.estate.lifetime import lock_folder, until_ended
from examples.estate.marketing import marketing_application
from examples.estate.member_soap import PATH, member_application
from examples.estate.ports import Ports
from examples.estate.store import SqliteStore, Store

LOG = logging.getLogger("estate")
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. `drip_s` None: nothing changes; `mariadb`, `sqlserver` None: the embedded server."""

    folder: Path
    seed: int
    scale: float
    drip_s: float | None
    mariadb: str | None
    sqlserver: str | None
    sales_over: str


async def serve_until_ended(options: Options, parent: int) -> None:
    """Serve until a signal comes or the process `parent` ends. What cannot start is an OSError, StoreError or ValueError."""
    options.folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(options.folder):
        async with AsyncExitStack() as stack:
            estate = Estate(options, stack)
            variables = await estate.start()
            ready = {"ready": True, "pid": os.getpid(), "variables": variables, "counts": estate.counts}
            print(json.dumps(ready), flush=True)
            LOG.info("ready: all six systems listen on %s", HOST)
            LOG.info("ending: %s", await until_ended(parent))


class Estate:
    """The running estate; `stack` closes what `start` opened, last opened first."""

    def __init__(self, options: Options, stack: AsyncExitStack) -> None:
        self._options = options
        self._stack = stack
        self._data = options.folder / "data"
        self._ports = Ports(options.folder / "ports.json")
        self.counts: dict[str, int] = {}

    async def start(self) -> dict[str, str]:
        """Generate if needed and start all; gives the variables of the ready line."""
        options = self._options
        LOG.info("estate in %s, seed %d, scale %g", options.folder, options.seed, options.scale)
        self.counts = await ensure_estate_apart(self._data, seed=options.seed, scale=options.scale)
        secrets = ensure_credentials(options.folder / "secrets.json")
        variables: dict[str, str] = {}
        sales = await self._sales(variables, secrets["sales"])
        estate = await self._property(variables, secrets["property"])
        await self._member(variables, secrets["member"])
        await self._callcentre(variables, secrets["callcentre"])
        feed = await self._broker(variables)
        await self._marketing(variables, secrets["marketing"])
        self._ports.keep()
        if options.drip_s is not None:
            await self._drip(options.drip_s, sales, estate, feed)
        return variables

    async def _sales(self, variables: dict[str, str], password: str) -> Store:
        path = self._data / "sales.db"
        if self._options.sqlserver:
            from examples.estate.sqlserver import SqlServerAddress, SqlServerStore, load_sales

            server = SqlServerAddress.parse(self._options.sqlserver)
            loaded = await load_sales(server, path)
            LOG.info("sales: SQL Server at %s,%d, %s", server.host, server.port, "loaded" if loaded else "as it was")
            _database(variables, "SALES", server.host, server.port, server.user, server.password, server.database)
            return SqlServerStore(server)
        users = {USERS["sales"]: password}
        start = self._tds(path, users) if self._options.sales_over == "tds" else self._mysql(path, users, "sales")
        port = await self._ports.listen("sales", start)
        LOG.info("sales: %s on port %d", "TDS" if self._options.sales_over == "tds" else "MySQL protocol", port)
        _database(variables, "SALES", HOST, port, USERS["sales"], password, "sales")
        return SqliteStore(path)

    async def _property(self, variables: dict[str, str], password: str) -> Store:
        path = self._data / "property.db"
        if self._options.mariadb:
            from examples.estate.mariadb import MariadbAddress, MariadbStore, load_property

            server = MariadbAddress.parse(self._options.mariadb)
            loaded = await load_property(server, path)
            LOG.info("property: MariaDB at %s:%d, %s", server.host, server.port, "loaded" if loaded else "as it was")
            _database(variables, "PROPERTY", server.host, server.port, server.user, server.password, server.database)
            return MariadbStore(server)
        start = self._mysql(path, {USERS["property"]: password}, "property")
        port = await self._ports.listen("property", start)
        LOG.info("property: MySQL protocol on port %d", port)
        _database(variables, "PROPERTY", HOST, port, USERS["property"], password, "property")
        return SqliteStore(path)

    def _tds(self, path: Path, users: Mapping[str, str]) -> Callable[[int], Awaitable[int]]:
        from examples.estate.wire.tds import serve_tds

        async def start(port: int) -> int:
            _enable_wal(path)
            return self._listening(await serve_tds(path, host=HOST, port=port, users=users))

        return start

    def _mysql(self, path: Path, users: Mapping[str, str], schema: str) -> Callable[[int], Awaitable[int]]:
        from examples.estate.wire.mysql import serve_mysql

        async def start(port: int) -> int:
            _enable_wal(path)
            return self._listening(await serve_mysql(path, host=HOST, port=port, users=users, schema=schema))

        return start

    def _listening(self, server: asyncio.Server) -> int:
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def _member(self, variables: dict[str, str], password: str) -> None:
        user = USERS["member"]
        application = member_application(self._open("member.db"), user=user, password=password)
        port = await self._ports.listen("member", await self._http(application))
        LOG.info("member: SOAP on port %d", port)
        variables |= {"MEMBER_WSDL": f"http://{HOST}:{port}{PATH}?wsdl", "MEMBER_USER": user, "MEMBER_PASSWORD": password}

    async def _callcentre(self, variables: dict[str, str], password: str) -> None:
        user = USERS["callcentre"]
        server = callcentre_server(self._data / "callcentre", user=user, password=password)

        async def start(port: int) -> int:
            await server.start(HOST, port)
            self._stack.push_async_callback(server.close)
            return int(server.server_port)

        port = await self._ports.listen("callcentre", start)
        LOG.info("callcentre: FTP on port %d", port)
        variables |= {"CALLCENTRE_HOST": HOST, "CALLCENTRE_PORT": str(port)}
        variables |= {"CALLCENTRE_USER": user, "CALLCENTRE_PASSWORD": password}

    async def _broker(self, variables: dict[str, str]) -> BrokerFeed:
        feed = BrokerFeed(self._open("broker.db"))
        self._stack.push_async_callback(feed.close)
        port = await self._ports.listen("broker", lambda wanted: feed.start(HOST, wanted))
        LOG.info("broker: socket feed on port %d", port)
        variables |= {"BROKER_HOST": HOST, "BROKER_PORT": str(port)}
        return feed

    async def _marketing(self, variables: dict[str, str], key: str) -> None:
        application = marketing_application(self._open("marketing.db"), key=key)
        port = await self._ports.listen("marketing", await self._http(application))
        LOG.info("marketing: JSON on port %d", port)
        variables |= {"MARKETING_URL": f"http://{HOST}:{port}", "MARKETING_KEY": key}

    async def _http(self, application: web.Application) -> Callable[[int], Awaitable[int]]:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)

        async def start(port: int) -> int:
            await web.TCPSite(runner, HOST, port).start()
            return int(runner.addresses[0][1])

        return start

    def _open(self, name: str) -> sqlite3.Connection:
        path = self._data / name
        _enable_wal(path)
        return self._stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))

    async def _drip(self, every_s: float, sales: Store, estate: Store, feed: BrokerFeed) -> None:
        tasks = Tasks(lambda name, error: LOG.error("%s has failed: %r", name, error))
        self._stack.push_async_callback(tasks.close)
        member, broker, marketing = (SqliteStore(self._data / f"{name}.db") for name in ("member", "broker", "marketing"))
        stores = Stores(sales, estate, member, broker, marketing)
        tasks.spawn(Drip(stores, seed=self._options.seed, broker_changed=feed.changed).run(every_s), name="drip")
        LOG.info("drip: a small change every %g s", every_s)


def _enable_wal(path: Path) -> None:
    """Readers and the drip's writes must not wait for each other; generated files come without it to be the same bytes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _database(variables: dict[str, str], system: str, host: str, port: int, user: str, password: str, database: str) -> None:
    values = {"HOST": host, "PORT": str(port), "USER": user, "PASSWORD": password, "DATABASE": database}
    variables.update({f"{system}_{name}": value for name, value in values.items()})
