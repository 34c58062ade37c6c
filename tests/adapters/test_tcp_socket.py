"""The tcp_socket adapter against feeds over real sockets."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import asdict
from typing import Any, cast

import msgspec
import pytest

from adapters.framing import LengthFraming
from adapters.tcp_socket import ADAPTER, Heartbeat, TcpSocketConnection, TcpSocketSettings
from core.errors import InvalidInput, NotConnected, Unavailable
from core.records import Cursor, Frames, Payload
from core.schema import Dataset
from examples.estate.broker import BrokerFeed
from tests.conformance.adapter_suite import (
    ConnectionSuite,
    Harness,
    Person,
    SourceSuite,
    checkpoint,
    crowd,
    decoded,
    opened,
    people,
    read_transactions,
)
from tests.servers.ports import free_port

IDLE_S = 0.6
DATASET = Dataset(object="feed", key=("n",), fields={"n": "integer"})
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def feeding(handler: Handler) -> AsyncIterator[int]:
    """The port of a feed; its connections end with the handler."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class PeopleFeed:
    """Lines of JSON in the order of their change, from the moment asked for on; then silence until the reader goes."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = (await reader.readline()).decode().split()
        if words:
            for person in sorted(self.people.values(), key=lambda p: (p.changed_at, p.number)):
                if person.changed_at >= words[1]:
                    writer.write(msgspec.json.encode(asdict(person)) + b"\n")
            await writer.drain()
            await reader.read()


class PeopleHarness:
    adapter = ADAPTER
    missing = None
    wrong_password = None

    def __init__(self, feed: PeopleFeed, port: int) -> None:
        self._feed = feed
        self.dataset = people("people")
        self.settings = TcpSocketSettings("127.0.0.1", port, hello="SUBSCRIBE {cursor}\\n", idle_s=IDLE_S)
        self.unreachable = TcpSocketSettings("127.0.0.1", free_port(), connect_timeout_s=1)

    async def put(self, people: Sequence[Person]) -> None:
        self._feed.people.update({person.number: person for person in people})

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return [msgspec.json.decode(frame, type=Person) for payload in payloads for frame in cast(Frames, payload).frames]


@pytest.fixture
async def harness() -> AsyncIterator[PeopleHarness]:
    feed = PeopleFeed()
    async with feeding(feed.serve) as port:
        yield PeopleHarness(feed, port)


@pytest.mark.req("0.46")
class TestPeople(ConnectionSuite, SourceSuite):
    """The conformance suite of a source; a feed that goes on from a moment gives the records of that moment again."""

    async def test_changed_and_new_rows_come_after_the_checkpoint(self, harness: Harness) -> None:
        await harness.put(crowd(1, 25))
        async with opened(harness) as source:
            cursor = checkpoint(harness, await read_transactions(source, harness.dataset))
            news = crowd(3, 2, minute=1, name="李四") + crowd(26, 2, minute=2)
            await harness.put(news)
            later = decoded(harness, await read_transactions(source, harness.dataset, cursor))
            assert later[-4:] == news
            assert {person.changed_at for person in later[:-4]} <= {cursor["value"]}


async def read(settings: TcpSocketSettings, cursor: Cursor | None = None, *, batch_rows: int = 100) -> list[list[bytes]]:
    connection = TcpSocketConnection(settings)
    try:
        found = await read_transactions(connection, DATASET, cursor, batch_rows=batch_rows)
    finally:
        await connection.close()
    return [list(cast(Frames, transaction.payload).frames) for transaction in found]


def sends(*pieces: bytes | float) -> Handler:
    """A feed that sends these bytes, waiting where there is a number of seconds, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)

    return serve


async def read_sent(*pieces: bytes | float, batch_rows: int = 100, **settings: Any) -> list[list[bytes]]:
    async with feeding(sends(*pieces)) as port:
        return await read(TcpSocketSettings("127.0.0.1", port, **{"idle_s": IDLE_S, **settings}), batch_rows=batch_rows)


async def test_the_frames_before_a_refusal_are_given_on() -> None:
    async with feeding(sends(b"1\n2\nERR no more today\n")) as port:
        connection = TcpSocketConnection(TcpSocketSettings("127.0.0.1", port, idle_s=5))
        stream = connection.read(DATASET, None, batch_rows=10)
        first = await anext(stream)
        assert cast(Frames, first.payload).frames == [b"1", b"2"]
        with pytest.raises(Unavailable, match="refuses: ERR no more today"):
            await anext(stream)


@pytest.mark.parametrize(("sent", "message"), [(b"1\n2", "middle of a frame"), (b"x" * 2_000_000, "more than 1048576 bytes")])
async def test_a_truncated_and_an_oversized_frame_are_unavailable(sent: bytes, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        await read_sent(sent)


async def test_batches_are_full_in_a_rush_and_a_lone_record_does_not_wait() -> None:
    assert [len(batch) for batch in await read_sent(b"x\n" * 25, batch_rows=10)] == [10, 10, 5]
    got = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"alone\n")
        await got.wait()

    async with feeding(waits) as port:
        connection = TcpSocketConnection(TcpSocketSettings("127.0.0.1", port, idle_s=600))
        async with aclosing(cast(Any, connection.read(DATASET, None, batch_rows=1000))) as stream:
            first = await asyncio.wait_for(anext(stream), 60)
        got.set()
        assert first.payload.frames == [b"alone"]
        assert first.cursor is None
        await connection.close()


async def test_a_trickle_is_given_on_before_it_ends() -> None:
    pieces = [piece for _ in range(50) for piece in (b"x\n", 0.01)]
    batches = await read_sent(*pieces, batch_rows=1000, idle_s=60)
    assert sum(map(len, batches)) == 50
    assert len(batches) >= 2


async def test_a_read_ends_when_the_feed_is_idle_and_heartbeats_do_not_prolong_it() -> None:
    beats: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"one\n")
        while True:
            writer.write(b"PING\n")
            try:
                async with asyncio.timeout(0.05):
                    beats.append(await reader.readexactly(5))
            except TimeoutError:
                continue
            except asyncio.IncompleteReadError:
                return

    async with feeding(serve) as port:
        beat = Heartbeat(every_s=0.05, send="PONG\\n", ignore="PING")
        settings = TcpSocketSettings("127.0.0.1", port, heartbeat=beat, idle_s=1.5)
        started = asyncio.get_running_loop().time()
        assert await read(settings) == [[b"one"]]
        assert asyncio.get_running_loop().time() - started > 1.4
    assert beats[:2] == [b"PONG\n", b"PONG\n"]


async def test_the_time_that_the_caller_takes_is_not_the_feeds_silence() -> None:
    async with feeding(sends(b"1\n", 0.1, b"2\n", 0.1, b"3\n", 3.0)) as port:
        connection = TcpSocketConnection(TcpSocketSettings("127.0.0.1", port, idle_s=0.5))
        seen: list[bytes] = []
        async for transaction in connection.read(DATASET, None, batch_rows=1):
            seen.extend(cast(Frames, transaction.payload).frames)
            await asyncio.sleep(0.8)
        assert seen == [b"1", b"2", b"3"]


async def test_hello_carries_the_cursor_and_no_second_line() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())

    async with feeding(serve) as port:
        settings = TcpSocketSettings("127.0.0.1", port, hello="FROM {cursor} äB\\n", cursor_start="-1")
        await read(settings)
        await read(settings, {"value": 17})
        with pytest.raises(InvalidInput, match="can't stand in a hello"):
            await read(settings, {"value": "1\nDELETE *"})
        with pytest.raises(InvalidInput, match="unknown escape"):
            await read(TcpSocketSettings("127.0.0.1", port, hello="\\q"))
    assert heard == ["FROM -1 äB\n".encode(), "FROM 17 äB\n".encode()]


async def test_closing_during_a_read_is_not_connected() -> None:
    async with feeding(sends(b"1\n", 0.5)) as port:
        connection = TcpSocketConnection(TcpSocketSettings("127.0.0.1", port, idle_s=5))
        stream = connection.read(DATASET, None, batch_rows=1)
        await anext(stream)
        await connection.close()
        with pytest.raises(NotConnected, match=r"closed|broke off"):
            await anext(stream)
        with pytest.raises(NotConnected, match="closed"):
            await connection.check()


async def test_a_reset_is_unavailable() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"1\n2")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with feeding(serve) as port:
        with pytest.raises(Unavailable, match=r"broke off|middle of a frame"):
            await read(TcpSocketSettings("127.0.0.1", port, idle_s=5))


def test_settings_are_read_from_plain_values() -> None:
    given = {"host": "h", "port": 1, "framing": {"kind": "length", "length_bytes": 2}, "hello": "x"}
    assert msgspec.convert(given, TcpSocketSettings).framing == LengthFraming(length_bytes=2)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**given, "framing": {"kind": "length", "length_bytes": 3}}, TcpSocketSettings)


async def test_the_estates_broker_feed_goes_on_where_it_stood() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, frame BLOB)")
        database.executemany("INSERT INTO record VALUES (?, ?)", [(n, b'{"seq":%d}' % n) for n in range(1, 1001)])
        feed = BrokerFeed(database)
        port = await feed.start("127.0.0.1", 0)
        settings = TcpSocketSettings("127.0.0.1", port, framing=LengthFraming(), hello="SUBSCRIBE {cursor}\\n", idle_s=IDLE_S)
        batches = await read(settings, batch_rows=300)
        assert [frame for batch in batches for frame in batch] == [b'{"seq":%d}' % n for n in range(1, 1001)]
        assert max(map(len, batches)) <= 300
        assert await read(settings, {"value": 998}) == [[b'{"seq":999}', b'{"seq":1000}']]
        with pytest.raises(Unavailable, match="refuses: ERR last_seq must be a whole number"):
            await read(settings, {"value": "x"})
        await feed.close()
