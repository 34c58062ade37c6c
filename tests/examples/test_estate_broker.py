"""The broker feed, read over a raw socket."""

import asyncio
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path

import pytest

from examples.estate.broker import BrokerFeed
from examples.estate.generate_broker import Broker, BrokerEvent, record


@pytest.fixture
async def database(estate_copy: Path) -> AsyncIterator[sqlite3.Connection]:
    with closing(sqlite3.connect(estate_copy / "broker.db", isolation_level=None)) as connection:
        yield connection


@asynccontextmanager
async def feed_of(database: sqlite3.Connection) -> AsyncIterator[tuple[BrokerFeed, int]]:
    feed = BrokerFeed(database)
    port = await feed.start("127.0.0.1", 0)
    yield feed, port
    await feed.close()


@asynccontextmanager
async def connected(port: int, line: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line)
    yield reader
    writer.close()
    await writer.wait_closed()


async def frame(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        return await reader.readexactly(length)


@pytest.mark.req("0.46")
async def test_a_subscriber_gets_all_records_after_its_number_then_new_ones(database: sqlite3.Connection) -> None:
    stored = [row[0] for row in database.execute("SELECT frame FROM record WHERE seq > 3 ORDER BY seq")]
    async with feed_of(database) as (feed, port), connected(port, b"SUBSCRIBE 3\n") as reader:
        assert [await frame(reader) for _ in stored] == stored
        new = record(10**6, BrokerEvent(Broker("B1", "㐂某", "1", "甲"), "social", "", 0, datetime(2024, 5, 11)))
        database.execute("INSERT INTO record VALUES (?, ?)", (10**6, new))
        feed.changed()
        assert await frame(reader) == new


async def test_two_subscribers_both_get_news_and_are_ended_by_close(database: sqlite3.Connection) -> None:
    (last,) = database.execute("SELECT max(seq) FROM record").fetchone()
    line = f"SUBSCRIBE {last}\r\n".encode()
    async with feed_of(database) as (feed, port), connected(port, line) as one, connected(port, line) as two:
        database.execute("INSERT INTO record VALUES (?, ?)", (last + 1, b"news"))
        feed.changed()
        assert await frame(one) == await frame(two) == b"news"
        await feed.close()
        assert await one.read() == b""


@pytest.mark.parametrize(
    "line",
    [b"HELLO\n", b"SUBSCRIBE\n", b"SUBSCRIBE -1\n", b"SUBSCRIBE 1 2\n", b"SUBSCRIBE 99999999999\n", b"x" * 5000, b"\xff\xff\n"],
)
async def test_a_bad_subscribe_line_gets_one_line_and_the_end(database: sqlite3.Connection, line: bytes) -> None:
    async with feed_of(database) as (_, port), connected(port, line) as reader:
        async with asyncio.timeout(60):
            answer = await reader.readline()
        assert answer.startswith(b"ERR ")
        assert answer.endswith(b"\n")
