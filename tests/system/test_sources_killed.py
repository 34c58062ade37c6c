"""A source's server killed with SIGKILL in the middle of a load, three times: nothing lost, nothing doubled in the mirror."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest
from msgspec.structs import replace

from adapters.loader import load_adapters
from config.model import Retry
from config.types import convert
from core.records import ChangeSet
from core.schema import Dataset, Format
from core.stores import Applied
from tests.exchange.feed import CUSTOMERS, NAME, Exchange, exchange_on, platform
from tests.servers.ftp import FTPServer
from tests.servers.mariadb import MariaDBDatabase, MariaDBServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]
_ROWS = 60_000
_FILES = 12
_SHARES = (0.15, 0.4, 0.65)


def _name(number: int) -> str:
    """Long enough that the load is no match for the buffers on its way, in which it would outlive the server."""
    return f"人{number}" + "。" * 120


class _Slowly:
    """The source, a pause behind each batch: a load on this machine would be over before its server is dead."""

    def __init__(self, source: Any, pause_s: float) -> None:
        self._source = source
        self._pause_s = pause_s
        self.check, self.close, self.estimate = source.check, source.close, source.estimate

    async def read(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
        async for transaction in self._source.read(*given, **more):
            yield transaction
            await asyncio.sleep(self._pause_s)


async def _loaded(
    folder: Path,
    source: Any,
    dataset: Dataset,
    kill: Callable[[], None],
    start: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Load it all while its server dies three times; judge what the mirror has then."""
    changed = 0
    async with exchange_on(folder, source, faults=[]) as exchange:
        inner = exchange.mirror.apply

        async def counted(changes: ChangeSet) -> Applied:
            nonlocal changed
            result = await inner(changes)
            changed += result.changed
            return result

        monkeypatch.setattr(exchange.mirror, "apply", counted)
        declared = platform(batch_rows=500, mode="full", retry=Retry(attempts=100, delay_s=0.2))
        sales = replace(declared.sources["sales"], datasets={"customers": dataset})
        exchange.runner.reload(replace(declared, sources={"sales": sales}))
        for share in _SHARES:
            await _until(exchange, int(share * _ROWS))
            failed = await _failed(exchange)
            await asyncio.to_thread(kill)
            assert await exchange.mirror.count(NAME) < _ROWS, "killed in the middle"
            async with asyncio.timeout(60):
                while await _failed(exchange) == failed:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(start)
        await _until(exchange, _ROWS)
        runs = await exchange.ended(2)
        while runs[0].state in ("running", "failed"):
            await asyncio.sleep(0.05)
            runs = await exchange.states.runs()
        await exchange.mirrored()
        assert (runs[0].state, runs[0].bad_rows) == ("succeeded", 0)
        assert changed == _ROWS, "each row changed the mirror once"
        feed = await exchange.mirror.changes(NAME, since=0, limit=_ROWS * 2)
        assert {row.record["id"]: row.record["name"] for row in feed} == {n: _name(n) for n in range(_ROWS)}
    await source.close()


async def _failed(exchange: Exchange) -> int:
    return sum(run.state == "failed" for run in await exchange.states.runs(limit=1000))


async def _until(exchange: Exchange, count: int) -> None:
    async with asyncio.timeout(150):
        while await exchange.mirror.count(NAME) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.req("0.27")
async def test_mariadb(
    tmp_path: Path, mariadb_server: MariaDBServer, mariadb_database: MariaDBDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mariadb_database
    place = {"host": made.host, "port": made.port, "user": made.user, "password": made.password, "database": made.database}
    with closing(pymysql.connect(**place, charset="utf8mb4", autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE Customer (id INT PRIMARY KEY, name VARCHAR(200), changed INT)")
        cursor.executemany("INSERT INTO Customer VALUES (%s, %s, %s)", [(n, _name(n), n) for n in range(_ROWS)])
    adapter = load_adapters()["mysql"]
    source = _Slowly(adapter.open(convert(place, adapter.settings)), 0.02)
    await _loaded(tmp_path, source, CUSTOMERS, mariadb_server.kill, mariadb_server.start, monkeypatch)


@pytest.mark.req("0.27")
async def test_an_ftp_server(tmp_path: Path, ftp_server: FTPServer, ftp_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = _ROWS // _FILES
    for number in range(_FILES):
        rows = "".join(f"{n},{_name(n)},{n}\n" for n in range(number * each, (number + 1) * each))
        (ftp_root / f"customers_{number:02}.csv").write_text(f"id,name,changed\n{rows}", encoding="gb18030")
    settings = {"host": ftp_server.host, "port": ftp_server.port, "user": ftp_server.user, "password": ftp_server.password}
    adapter = load_adapters()["ftp"]
    source = _Slowly(adapter.open(convert({**settings, "tls": "none"}, adapter.settings)), 0.2)
    dataset = replace(CUSTOMERS, object="/customers_*.csv", format=Format("csv", encoding="gb18030"), cursor=None)
    await _loaded(tmp_path, source, dataset, ftp_server.kill, ftp_server.start, monkeypatch)
