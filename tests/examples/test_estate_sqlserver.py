"""The sales system through pyodbc: Microsoft's own driver against the TDS server of the estate, over an empty file."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import mssql_python_odbc
import pytest

from examples.estate.generate import generate
from examples.estate.sqlserver import SqlServerAddress, SqlServerStore, load_sales
from examples.estate.store import StoreError
from examples.estate.wire.tds import serve_tds


def driver() -> str:
    libraries = Path(mssql_python_odbc.__file__).parent / "libs" / "linux" / "debian_ubuntu"
    return str(next(libraries.glob("*/lib/libmsodbcsql*")))


def address(port: int, password: str = "p;w}") -> SqlServerAddress:
    quoted = "{" + password.replace("}", "}}") + "}"
    return SqlServerAddress.parse(f"DRIVER={driver()};SERVER=127.0.0.1,{port};UID=sa;PWD={quoted};DATABASE=sales;Encrypt=no")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    empty = tmp_path / "sales.db"
    empty.touch()
    server = await serve_tds(empty, host="127.0.0.1", port=0, users={"sa": "p;w}"})
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_sales_is_loaded_once_and_whole(port: int, tmp_path: Path) -> None:
    generate(tmp_path / "data", scale=0.05)
    source = tmp_path / "data" / "sales.db"
    assert await load_sales(address(port), source) is True
    store = SqlServerStore(address(port))
    with closing(sqlite3.connect(source)) as generated:
        names = generated.execute("SELECT CustomerID, CustomerName FROM Customer ORDER BY 1").fetchall()
        (total,) = generated.execute("SELECT sum(Amount) FROM Deal").fetchone()
    assert await store.fetch("SELECT CustomerID, CustomerName FROM dbo.Customer ORDER BY CustomerID", ()) == names
    amounts = await store.fetch("SELECT Amount FROM Deal", ())
    assert sum(amount for (amount,) in amounts) == Decimal(str(total))
    budgets = await store.fetch("SELECT Budget FROM Customer WHERE Budget IS NULL", ())
    assert 0 < len(budgets) < len(names)
    await store.execute([("UPDATE Customer SET Status = ? WHERE CustomerID = ?", ("流失", "K0000001"))])
    assert await load_sales(address(port), source) is False
    assert await store.fetch("SELECT Status FROM Customer WHERE CustomerID = ?", ("K0000001",)) == [("流失",)]


async def test_a_wrong_password_is_told_without_it(port: int) -> None:
    with pytest.raises(StoreError, match="Login failed") as caught:
        await SqlServerStore(address(port, "s3cret")).fetch("SELECT 1", ())
    assert "s3cret" not in str(caught.value)


def test_addresses_are_read_from_a_connection_string() -> None:
    read = SqlServerAddress.parse("Driver={ODBC Driver 18};Server=tcp:db.example,1444;UID=u;PWD={a;b};Database=sales")
    assert (read.host, read.port, read.user, read.password, read.database) == ("db.example", 1444, "u", "a;b", "sales")
    assert address(7).password == "p;w}"
    assert address(7, "a};b").password == "a};b"
    with pytest.raises(ValueError, match="lacks PWD, DATABASE"):
        SqlServerAddress.parse("SERVER=h;UID=u")
    with pytest.raises(ValueError, match="host,port"):
        SqlServerAddress.parse("SERVER=h,x;UID=u;PWD=p;DATABASE=d")
