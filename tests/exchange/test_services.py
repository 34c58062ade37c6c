"""Kind b against SQL Server's protocol: written through Microsoft's driver, read back by it, mirrored and published."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from adapters.sqlserver import ADAPTER
from adapters.sqlserver_driver import Settings
from core.adapter import Connection
from core.secret import Secret
from core.service import Write
from examples.estate.wire.tds import serve_tds
from tests.conformance.data_service_suite import caller
from tests.exchange.customers import customers_on
from tests.exchange.feed import NAME

TABLE = "CREATE TABLE Customer (id int NOT NULL PRIMARY KEY, name nvarchar(50) NULL, changed int NULL DEFAULT 5)"


@pytest.fixture
def sales_file(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "Sales.db")) as database, database:
        database.execute(TABLE)
        database.execute("INSERT INTO Customer VALUES (7, 'old', 1)")
    return tmp_path / "Sales.db"


@pytest.fixture
async def connection(sales_file: Path) -> AsyncIterator[Connection]:
    async with await serve_tds(sales_file, host="127.0.0.1", port=0, users={"writer": "Secret1!"}) as server:
        port = server.sockets[0].getsockname()[1]
        opened = ADAPTER.open(
            Settings(host="127.0.0.1", port=port, database="Sales", user="writer", password=Secret("Secret1!"), encrypt=False)
        )
        yield opened
        await opened.close()


@pytest.mark.req("0.42")
async def test_a_write_is_in_the_sales_system_and_in_the_mirror(tmp_path: Path, sales_file: Path, connection: Connection) -> None:
    async with customers_on(tmp_path, connection) as platform:
        for key, once in (("7", "i-1"), ("70", "i-2"), ("70", "i-2")):
            answer = await platform.service.write(Write(key, {"name": f"张三{key}"}, once), caller())
            assert answer.status == 200
        assert msgspec.json.decode(answer.body) == {"id": 70, "name": "张三70", "changed": 5}
        await platform.service.write(Write("7", None, "i-3"), caller())
        row = await platform.mirror.get(NAME, [70])
        assert row is not None
        assert row.record == {"id": 70, "name": "张三70", "changed": 5}
        assert await platform.mirror.get(NAME, [7]) is None
    with closing(sqlite3.connect(sales_file)) as database:
        assert database.execute("SELECT id, name, changed FROM Customer").fetchall() == [(70, "张三70", 5)]
