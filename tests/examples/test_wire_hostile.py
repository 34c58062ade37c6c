"""Bytes that are no protocol end their own connection, and no other."""

import asyncio
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.estate.wire.failures import SqlFailure
from examples.estate.wire.mysql import serve_mysql
from examples.estate.wire.mysql_dialect import Facts as MysqlFacts
from examples.estate.wire.mysql_dialect import parse
from examples.estate.wire.mysql_dialect import translate as translate_mysql
from examples.estate.wire.mysql_packets import ProtocolError as MysqlProtocolError
from examples.estate.wire.mysql_packets import read_login as read_mysql_login
from examples.estate.wire.tds import serve_tds
from examples.estate.wire.tds_login import read_login
from examples.estate.wire.tds_packets import ProtocolError
from examples.estate.wire.tds_parameters import read_calls
from examples.estate.wire.tsql import Facts, split_batch, translate

HOSTILE = [
    b"",
    b"\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 4096,
    struct.pack(">BBHHBB", 18, 1, 4, 0, 0, 0),
    struct.pack(">BBHHBB", 16, 1, 12, 0, 0, 0) + b"abcd",
    struct.pack(">BBHHBB", 16, 1, 108, 0, 0, 0) + b"\xff" * 100,
    struct.pack(">BBHHBB", 3, 1, 8, 0, 0, 0),
    struct.pack("<I", 5) + b"short",
    struct.pack("<I", 0xFFFFFF) + b"x",
]
WORDS = (
    "SELECT TOP ( ) 1 , * FROM [t] `t` dbo . WITH NOLOCK OFFSET ROWS FETCH NEXT ONLY CAST AS CONVERT INSERT INTO VALUES"
    " BETWEEN AND = d @p @@x SET IF BEGIN TRAN ON DUPLICATE KEY UPDATE COLLATE FOR SHOW DESCRIBE 'a' LEFT NOW"
)
SQL_PIECES = st.sampled_from(WORDS.split())


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[list[int]]:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a int)")
    first = await serve_tds(path, host="127.0.0.1", port=0, users={"u": "p"})
    second = await serve_mysql(path, host="127.0.0.1", port=0, users={"u": "p"}, schema="x")
    async with first, second:
        yield [server.sockets[0].getsockname()[1] for server in (first, second)]


@pytest.mark.parametrize("data", HOSTILE)
async def test_garbage_ends_its_connection_and_the_server_goes_on(ports: list[int], data: bytes) -> None:
    for port in ports:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 60)
        writer.close()
    _, greeted = await asyncio.open_connection("127.0.0.1", ports[1])
    greeted.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    writer.write(struct.pack(">BBHHBB", 18, 1, 9, 0, 0, 0) + b"\xff")
    assert (await asyncio.wait_for(reader.readexactly(8), 60))[0] == 4
    writer.close()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_readers_refuse_what_they_cannot_read(data: bytes) -> None:
    with suppress(ProtocolError):
        read_login(data)
    with suppress(ProtocolError):
        list(read_calls(struct.pack("<I", 4) + data))
    with suppress(ProtocolError):
        list(read_calls(struct.pack("<IHHHBB", 4, 0xFFFF, 10, 0, 0, 0) + data))
    with suppress(MysqlProtocolError):
        read_mysql_login(data)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(SQL_PIECES, max_size=14).map(" ".join)))
def test_translators_fail_only_with_a_failure(text: str) -> None:
    with suppress(SqlFailure):
        for statement in split_batch(text):
            translate(statement, Facts({}, "x", {"d": "date(0)"}))
    with suppress(SqlFailure):
        translate_mysql(parse(text), MysqlFacts({}, {}, "x", {"d": "date(0)"}))
