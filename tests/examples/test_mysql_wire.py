"""The MySQL server as aiomysql, pymysql and the command-line client see it."""

import asyncio
import shutil
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiomysql
import pymysql
import pytest

from examples.estate.wire.mysql import serve_mysql

SCHEMA = """
CREATE TABLE owner (
  owner_id varchar(20) PRIMARY KEY, name varchar(50) NOT NULL, age int, big bigint unsigned, vip tinyint(1),
  score double, budget decimal(18,2), born date, updated_at datetime(3), note longtext, photo blob, opens time);
CREATE TABLE room (room_id int PRIMARY KEY, owner_id varchar(20) REFERENCES owner (owner_id), sold_on date);
"""
FIRST = (
    *("O1", "张三丰𠮷'\\", 41, 2**40, 1, 1.5, Decimal("12345678.90"), date(2024, 2, 29)),
    *(datetime(2024, 5, 10, 8, 30, 15, 123000), "备" * 90000, b"\x00\xff'\\", timedelta(hours=9)),
)
PASSWORD = "Secret1!"


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    path = tmp_path / "property.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    server = await serve_mysql(path, host="127.0.0.1", port=0, users={"reader": PASSWORD, "cli": "plain"}, schema="property")
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def cursor(port: int) -> AsyncIterator[Any]:
    connection = await aiomysql.connect(
        host="127.0.0.1", port=port, user="reader", password=PASSWORD, db="property", charset="utf8mb4", autocommit=True
    )
    cursor = await connection.cursor()
    try:
        # The blob as a literal: aiomysql 0.3.2 cannot escape bytes with pymysql 2.
        sql = f"INSERT INTO owner VALUES ({','.join(['%s'] * 10)}, x'{FIRST[10].hex()}', %s)"
        await cursor.execute(sql, (*FIRST[:10], FIRST[11]))
        yield cursor
    finally:
        await cursor.close()
        connection.close()
        await asyncio.sleep(0.05)


async def rows(cursor: Any, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    await cursor.execute(sql, parameters)
    return list(await cursor.fetchall())


@pytest.mark.req("0.46")
async def test_every_declared_type_comes_back_as_pythons(cursor: Any) -> None:
    await cursor.execute("INSERT INTO `owner` (owner_id, name) VALUES ('O2', N'李四')")
    assert cursor.rowcount == 1
    found = await rows(cursor, "SELECT * FROM `property`.`owner` ORDER BY owner_id")
    assert found == [FIRST, ("O2", "李四", *[None] * 10)]


async def test_the_sql_of_an_adapter(cursor: Any) -> None:
    upsert = "INSERT INTO owner (owner_id, name, age) VALUES (%s,%s,%s) ON DUPLICATE KEY UPDATE name=VALUES(name), age=VALUES(age)"
    await cursor.executemany(upsert, [("O1", "新名", 50), ("O3", "王五", 3)])
    after = "SELECT owner_id FROM owner WHERE (updated_at, owner_id) > (%s, %s) ORDER BY updated_at LIMIT 5 OFFSET 0"
    assert await rows(cursor, "SELECT name, age FROM owner ORDER BY age") == [("王五", 3), ("新名", 50)]
    assert await rows(cursor, after, datetime(2024, 5, 10, 8, 30, 15), "A") == [("O1",)]
    assert await rows(cursor, after, FIRST[8], "O1") == []
    assert await rows(cursor, "SELECT MAX(updated_at), CAST(age AS CHAR) FROM owner WHERE age = 50") == [(FIRST[8], "50")]
    assert await rows(cursor, r"SELECT 'it\'s -- \\ `x` /*', _binary'\0a', x'ff', IF(1 <=> 1, 'y', 'n')") == [
        ("it's -- \\ `x` /*", b"\0a", b"\xff", "y")
    ]
    now = (await rows(cursor, "SELECT NOW(), UTC_TIMESTAMP(3)"))[0]
    assert abs(now[0] - now[1]) < timedelta(seconds=2)
    assert await rows(cursor, "SELECT DATABASE(), @@session.autocommit") == [("property", 1)]


async def test_the_schema_can_be_discovered(cursor: Any) -> None:
    found = await rows(
        cursor,
        "SELECT column_name, data_type, column_type, column_key, is_nullable FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = 'owner' ORDER BY ordinal_position LIMIT 2",
    )
    assert found == [("owner_id", "varchar", "varchar(20)", "PRI", "NO"), ("name", "varchar", "varchar(50)", "", "NO")]
    assert await rows(cursor, "SHOW TABLES") == [("owner",), ("room",)]
    assert [row[0] for row in await rows(cursor, "DESCRIBE room")] == ["room_id", "owner_id", "sold_on"]
    assert await rows(cursor, "SHOW VARIABLES LIKE 'autocommit'") == [("autocommit", "1")]


async def test_a_wrong_date_turns_its_column_into_text(cursor: Any) -> None:
    await cursor.executemany("INSERT INTO room (room_id, sold_on) VALUES (%s, %s)", [(1, "2024-01-31"), (2, "2024-02-30")])
    assert await rows(cursor, "SELECT sold_on FROM room") == [("2024-01-31",), ("2024-02-30",)]
    assert await rows(cursor, "SELECT sold_on FROM room WHERE room_id = 1") == [(date(2024, 1, 31),)]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELEC 1", 1064),
        ("SELECT 'open", 1064),
        ("SELECT 1; SELECT 2", 1064),
        ("SELECT * FROM nowhere", 1146),
        ("SELECT `nothing` FROM owner", 1054),
        ("INSERT INTO owner (owner_id, name) VALUES ('O1', 'x')", 1062),
        ("INSERT INTO owner (owner_id) VALUES ('O9')", 1048),
        ("INSERT INTO room (room_id, owner_id) VALUES (1, 'nobody')", 1452),
        ("SELECT @@nothing", 1193),
        ("ATTACH DATABASE '/etc/passwd' AS x", 1064),
        ("USE elsewhere", 1049),
    ],
)
async def test_errors_carry_mysqls_number_and_the_connection_goes_on(cursor: Any, sql: str, number: int) -> None:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        await cursor.execute(sql)
    assert caught.value.args[0] == number
    assert await rows(cursor, "SELECT 7") == [(7,)]


async def test_rollback_undoes_and_commit_keeps(cursor: Any) -> None:
    for end, kept in (("ROLLBACK", 0), ("COMMIT", 1)):
        await cursor.execute("START TRANSACTION")
        await cursor.execute("INSERT INTO room (room_id) VALUES (1)")
        await cursor.execute(end)
        assert await rows(cursor, "SELECT COUNT(*) FROM room") == [(kept,)]


async def test_a_second_writer_waits_and_is_told(cursor: Any, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.estate.wire.session._BUSY_TIMEOUT_S", 0.2)
    await cursor.execute("BEGIN")
    await cursor.execute("UPDATE owner SET age = 1")

    def work() -> int:
        with closing(pymysql.connect(host="127.0.0.1", port=port, user="reader", password=PASSWORD)) as other:
            other.ping()
            other.select_db("property")
            with pytest.raises(pymysql.err.OperationalError) as caught:
                other.cursor().execute("UPDATE owner SET age = 2")
            return int(caught.value.args[0])

    assert await asyncio.to_thread(work) == 1205
    await cursor.execute("COMMIT")


@pytest.mark.parametrize(("password", "db", "number"), [("wrong", "property", 1045), (PASSWORD, "other", 1049)])
async def test_a_login_is_refused_with_mysqls_number(port: int, password: str, db: str, number: int) -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        await aiomysql.connect(host="127.0.0.1", port=port, user="reader", password=password, db=db)
    assert caught.value.args[0] == number


async def test_an_unknown_command_and_a_packet_too_large_are_refused(port: int) -> None:
    def work() -> tuple[int, int]:
        with closing(pymysql.connect(host="127.0.0.1", port=port, user="reader", password=PASSWORD)) as connection:
            connection._execute_command(0x16, "SELECT 1")
            with pytest.raises(pymysql.err.OperationalError) as unknown:
                connection._read_packet()
            connection._next_seq_id = 1
            connection._write_bytes(struct.pack("<I", 0xFFFFFF))
            with pytest.raises(pymysql.err.OperationalError) as large:
                connection._read_packet()
            return unknown.value.args[0], large.value.args[0]

    assert await asyncio.to_thread(work) == (1047, 1153)


@pytest.mark.servers
async def test_the_command_line_client_reads_tables(cursor: Any, port: int) -> None:
    client = shutil.which("mariadb")
    assert client, "the command-line client is missing: apt-get install mariadb-client"
    process = await asyncio.create_subprocess_exec(
        *(client, "--no-defaults", "-h127.0.0.1", f"-P{port}", "-ucli", "-pplain", "property", "-N"),
        *("-e", "SHOW TABLES; SELECT owner_id, budget FROM owner"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.decode()) == (0, "owner\nroom\nO1\t12345678.90\n")
