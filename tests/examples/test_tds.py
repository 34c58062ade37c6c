"""The TDS server as Microsoft's ODBC driver sees it through pyodbc."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import mssql_python_odbc
import pyodbc  # type: ignore[import-not-found,unused-ignore]
import pytest

from examples.estate.wire import tds
from examples.estate.wire.tds import serve_tds

T = TypeVar("T")

DRIVER = next(path for path in sorted(Path(mssql_python_odbc.__file__).parent.glob("libs/linux/debian_ubuntu/*/lib/libmsodbcsql*")))
SCHEMA = """
CREATE TABLE Customer (
  CustomerID nvarchar(20) PRIMARY KEY, CustomerName nvarchar(50) NOT NULL, Age int, Big bigint, Vip bit, Score float,
  Budget decimal(18,2), CreatedOn date, UpdatedAt datetime2(3), Note "nvarchar(max)", Photo varbinary(100));
CREATE TABLE Deal (
  DealID int PRIMARY KEY, CustomerID nvarchar(20) REFERENCES Customer (CustomerID), SignedOn date, At time(0));
"""
FIRST = (
    *("K0000001", "张三丰𠮷", 41, 2**40, True, 1.5, Decimal("12345678.90"), date(2024, 2, 29)),
    *(datetime(2024, 5, 10, 8, 30, 15, 123000), "备" * 9000, b"\x00\xff"),
)


class Estate:
    """A served database and connections to it."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self.port = port

    def connect(self, password: str = "Secret1!", database: str = "sales", *, autocommit: bool = True) -> Any:
        return pyodbc.connect(
            f"DRIVER={DRIVER};SERVER=127.0.0.1,{self.port};UID=reader;PWD={password};DATABASE={database};Encrypt=no",
            autocommit=autocommit,
            timeout=10,
        )

    async def run(self, work: Callable[[Any], T], *, autocommit: bool = True) -> T:
        def connected() -> T:
            with closing(self.connect(autocommit=autocommit)) as connection:
                return work(connection.cursor())

        return await asyncio.to_thread(connected)


@pytest.fixture
async def estate(tmp_path: Path) -> AsyncIterator[Estate]:
    path = tmp_path / "sales.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        row = [str(v).removesuffix("000") if isinstance(v, Decimal | date) else v for v in FIRST]
        connection.execute(f"INSERT INTO Customer VALUES ({','.join('?' * 11)})", row)
        connection.execute("INSERT INTO Customer (CustomerID, CustomerName) VALUES ('K0000002', '李四')")
        connection.commit()
    server = await serve_tds(path, host="127.0.0.1", port=0, users={"reader": "Secret1!"})
    async with server:
        yield Estate(path, server.sockets[0].getsockname()[1])


@pytest.mark.req("0.46")
async def test_every_declared_type_comes_back_as_pythons(estate: Estate) -> None:
    rows = await estate.run(lambda c: c.execute("SELECT * FROM dbo.Customer ORDER BY CustomerID").fetchall())
    assert tuple(rows[0]) == FIRST
    assert tuple(rows[1]) == ("K0000002", "李四", *[None] * 9)


async def test_parameters_of_every_type_are_stored_and_found(estate: Estate) -> None:
    def work(cursor: Any) -> list[Any]:
        values = ("N1", "王" * 5000, -3, -(2**62), False, 0.1, Decimal("-0.05"), date(1, 1, 1), FIRST[8], None, b"\1" * 90)
        cursor.execute(f"INSERT INTO [dbo].[Customer] VALUES ({','.join('?' * 11)})", values)
        assert cursor.rowcount == 1
        found = cursor.execute(
            "SELECT * FROM sales.dbo.Customer WHERE CreatedOn = ? AND UpdatedAt = ? AND Budget = ? AND Photo = ?"
            " AND Score < ? AND Big = ? AND Vip = ?",
            *(date(1, 1, 1), FIRST[8], Decimal("-0.05"), b"\1" * 90, 0.2, -(2**62), False),
        ).fetchall()
        assert tuple(found[0]) == values
        return list(found)

    assert len(await estate.run(work)) == 1


async def test_a_wrong_date_turns_its_column_into_text_also_beyond_the_first_piece(estate: Estate) -> None:
    def work(cursor: Any) -> tuple[Any, Any, Any]:
        with closing(sqlite3.connect(estate.path)) as connection:
            rows = [(n, "2024-01-31" if n != 4000 else "2024-02-30") for n in range(1, 5001)]
            connection.executemany("INSERT INTO Deal (DealID, SignedOn) VALUES (?, ?)", rows)
            connection.commit()
        few = cursor.execute("SELECT SignedOn FROM Deal WHERE DealID < 3").fetchall()
        one = cursor.execute("SELECT SignedOn FROM Deal WHERE DealID = 4000").fetchval()
        return few[0][0], one, {row[0] for row in cursor.execute("SELECT SignedOn FROM Deal").fetchall()}

    assert await estate.run(work) == (date(2024, 1, 31), "2024-02-30", {"2024-01-31", "2024-02-30"})


async def test_times_are_compared_as_moments_whatever_their_spelling(estate: Estate) -> None:
    def work(cursor: Any) -> list[int]:
        spelled = "SELECT COUNT(*) FROM Customer WHERE UpdatedAt {}"
        texts = ["= '2024-05-10T08:30:15.1230000'", "> '2024-05-10 08:30:15'", "BETWEEN '2024-05-10' AND '2024-05-11'"]
        counts = [cursor.execute(spelled.format(text)).fetchval() for text in texts]
        return [*counts, cursor.execute(spelled.format("> ?"), "2024-05-10T08:30:15.123").fetchval()]

    assert await estate.run(work) == [1, 1, 1, 0]


async def test_the_t_sql_of_an_adapter(estate: Estate) -> None:
    def work(cursor: Any) -> None:
        def value(sql: str, *parameters: Any) -> Any:
            return cursor.execute(sql, *parameters).fetchval()

        assert value("SELECT TOP (1) CustomerID FROM [Customer] WITH (NOLOCK) ORDER BY CustomerID DESC") == "K0000002"
        paged = "SELECT CustomerID FROM Customer ORDER BY CustomerID OFFSET ? ROWS FETCH NEXT ? ROWS ONLY"
        assert value(paged, 1, 5) == "K0000002"
        assert value("SELECT N'引号''; -- /* [x]' ") == "引号'; -- /* [x]"
        assert value("SELECT MAX(UpdatedAt) FROM Customer") == FIRST[8]
        assert abs(value("SELECT SYSUTCDATETIME()") - datetime.utcnow()).total_seconds() < 5
        assert value("SELECT CAST('2024-05-10T01:02:03' AS datetime2(0))") == datetime(2024, 5, 10, 1, 2, 3)
        assert value("SELECT COUNT_BIG(*) FROM (SELECT TOP 1 * FROM dbo.Customer) AS t OPTION (RECOMPILE)") == 1
        assert value("SELECT DB_NAME()") == "sales"
        assert value("SELECT SUSER_SNAME()") == "reader"
        assert "SQL Server" in value("SELECT @@VERSION")
        assert value("SELECT LEN(ISNULL(Note, 'ab  ')) FROM Customer WHERE CustomerID = 'K0000002'") == 2

    await estate.run(work)


async def test_the_schema_can_be_discovered(estate: Estate) -> None:
    def work(cursor: Any) -> tuple[list[Any], list[Any], Any]:
        tables = cursor.execute("SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES").fetchall()
        columns = cursor.execute(
            "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE"
            " FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            "Customer",
        ).fetchall()
        key = cursor.execute("SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE WHERE TABLE_NAME = 'Deal'")
        return [tuple(t) for t in tables], [tuple(c) for c in columns], key.fetchval()

    tables, columns, key = await estate.run(work)
    assert tables == [("dbo", "Customer"), ("dbo", "Deal")]
    assert columns[0] == ("CustomerID", "nvarchar", 20, None, None, "NO")
    assert columns[6] == ("Budget", "decimal", None, 18, 2, "YES")
    assert columns[9] == ("Note", "nvarchar", -1, None, None, "YES")
    assert key == "DealID"


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELEC 1", 102),
        ("SELECT 'open", 102),
        ("SELECT * FROM Nowhere", 208),
        ("SELECT [Nothing] FROM Customer", 207),
        ("INSERT INTO Customer (CustomerID, CustomerName) VALUES ('K0000001', 'x')", 2627),
        ("INSERT INTO Customer (CustomerID, CustomerName) VALUES ('K9', NULL)", 515),
        ("INSERT INTO Deal (DealID, CustomerID) VALUES (1, 'nobody')", 547),
        ("SELECT CAST('2024-13-45' AS date)", 245),
        ("SELECT NO_SUCH(1)", 195),
        ("SELECT @@NOTHING", 137),
        ("EXEC sp_who", 102),
        ("ATTACH DATABASE '/etc/passwd' AS x", 102),
        ("PRAGMA journal_mode=DELETE", 102),
        ("COMMIT", 3902),
        ("USE elsewhere", 50000),
    ],
)
async def test_errors_carry_sql_servers_number_and_the_connection_goes_on(estate: Estate, sql: str, number: int) -> None:
    def work(cursor: Any) -> str:
        with pytest.raises(pyodbc.Error) as caught:
            cursor.execute(sql).fetchall()
        assert cursor.execute("SELECT 7").fetchval() == 7
        return str(caught.value)

    assert f"({number})" in await estate.run(work)


async def test_rollback_undoes_and_commit_keeps(estate: Estate) -> None:
    def work(cursor: Any) -> None:
        cursor.execute("INSERT INTO Deal (DealID) VALUES (1)")
        assert cursor.execute("SELECT @@TRANCOUNT").fetchval() == 1
        cursor.connection.rollback()
        cursor.execute("UPDATE Customer SET Age = 1 WHERE CustomerID IN ('K0000001', 'K0000002')")
        assert cursor.rowcount == 2
        cursor.connection.commit()
        cursor.execute("DELETE FROM Customer")

    await estate.run(work, autocommit=False)
    found = await estate.run(lambda c: c.execute("SELECT COUNT(*), SUM(Age), (SELECT COUNT(*) FROM Deal) FROM Customer").fetchone())
    assert tuple(found) == (2, 2, 0)


async def test_explicit_transactions_nest_as_in_sql_server(estate: Estate) -> None:
    def work(cursor: Any) -> list[int]:
        cursor.execute("BEGIN TRAN; INSERT INTO Deal (DealID) VALUES (1); SAVE TRAN s")
        cursor.execute("INSERT INTO Deal (DealID) VALUES (2)")
        cursor.execute("ROLLBACK TRAN s; BEGIN TRANSACTION; COMMIT")
        levels = [cursor.execute("SELECT @@TRANCOUNT").fetchval()]
        cursor.execute("IF @@TRANCOUNT > 0 COMMIT TRAN")
        levels.append(cursor.execute("SELECT @@TRANCOUNT").fetchval())
        return [*levels, cursor.execute("SELECT COUNT(*) FROM Deal").fetchval()]

    assert await estate.run(work) == [1, 0, 1]


async def test_a_reader_sees_commits_and_a_second_writer_is_the_deadlock_victim(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.estate.wire.session._BUSY_TIMEOUT_S", 0.2)

    def work() -> str:
        with closing(estate.connect(autocommit=False)) as one, closing(estate.connect(autocommit=False)) as two:
            first, second = one.cursor(), two.cursor()
            second.execute("SELECT COUNT(*) FROM Deal")
            second.fetchall()
            first.execute("INSERT INTO Deal (DealID) VALUES (1)")
            with pytest.raises(pyodbc.Error) as caught:
                second.execute("SELECT * FROM Deal WITH (UPDLOCK, HOLDLOCK)")
            one.commit()
            assert second.execute("SELECT COUNT(*) FROM Deal").fetchval() == 1
            second.execute("UPDATE Deal SET CustomerID = NULL")
            two.commit()
            return str(caught.value)

    assert "(1205)" in await asyncio.to_thread(work)


async def test_prepared_statements_and_arrays_of_parameters(estate: Estate) -> None:
    def work(cursor: Any) -> tuple[int, list[str]]:
        sql = "INSERT INTO Customer (CustomerID, CustomerName, Age) VALUES (?, ?, ?)"
        cursor.executemany(sql, [(f"A{n:03d}", f"名字{n}", n) for n in range(500)])
        names = [
            cursor.execute("SELECT CustomerName FROM Customer WHERE CustomerID = ?", f"A{n:03d}").fetchval() for n in (0, 250, 499)
        ]
        return cursor.execute("SELECT COUNT(*) FROM Customer WHERE Age IS NOT NULL").fetchval(), names

    assert await estate.run(work) == (501, ["名字0", "名字250", "名字499"])


async def test_several_results_of_one_batch(estate: Estate) -> None:
    def work(cursor: Any) -> list[Any]:
        cursor.execute("SET NOCOUNT ON SELECT 1; UPDATE Customer SET Age = 5; SELECT @@ROWCOUNT")
        found = [cursor.fetchval()]
        assert cursor.nextset()
        assert cursor.rowcount == 2
        assert cursor.nextset()
        return [*found, cursor.fetchval()]

    assert await estate.run(work) == [1, 2]


async def test_a_reader_may_stop_in_the_middle_and_a_long_query_can_be_cancelled(estate: Estate) -> None:
    long = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT {} FROM n"

    def work(cursor: Any) -> None:
        cursor.execute(long.format(200_000, "i, 'a text that fills the socket'"))
        assert [row[0] for row in cursor.fetchmany(3)] == [1, 2, 3]
        cursor.cancel()
        is_over = threading.Event()

        def cancel() -> None:
            while not is_over.wait(0.3):  # again and again: one that comes before the query ends nothing
                cursor.cancel()

        cancelling = threading.Thread(target=cancel)
        cancelling.start()
        with pytest.raises(pyodbc.Error):  # it would take days
            cursor.execute(long.format(10**12, "COUNT(*)")).fetchall()
        is_over.set()
        cancelling.join()
        assert cursor.execute("SELECT 7").fetchval() == 7

    await estate.run(work)


@pytest.mark.parametrize(("password", "database", "number"), [("wrong", "sales", 18456), ("Secret1!", "other", 4060)])
async def test_a_login_is_refused_with_sql_servers_number(estate: Estate, password: str, database: str, number: int) -> None:
    def work() -> str:
        with pytest.raises(pyodbc.Error) as caught:
            estate.connect(password, database)
        return str(caught.value)

    assert f"({number})" in await asyncio.to_thread(work)


async def test_sessions_are_limited_and_a_closed_one_makes_room(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tds, "MAX_SESSIONS", 3)

    def work() -> None:
        held = [estate.connect() for _ in range(3)]
        with pytest.raises(pyodbc.Error, match="17809"):
            estate.connect()
        for connection in held:
            connection.close()

    await asyncio.to_thread(work)
    await asyncio.sleep(0.2)
    assert await estate.run(lambda c: c.execute("SELECT 1").fetchval()) == 1


async def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such SQLite file"):
        await serve_tds(tmp_path / "none.db", host="127.0.0.1", port=0, users={})
