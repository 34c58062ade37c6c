"""The broker feed: a TCP socket on which a subscriber gets all records after a number, and then each new one.

`SUBSCRIBE <last_seq>\\n` is answered with frames: 4 bytes of length (big-endian), then one record of `generate_broker`.
"""

import asyncio
import sqlite3
import struct
from typing import Final

MAX_SUBSCRIBERS: Final = 50
BATCH: Final = 200
LINE_LIMIT: Final = 128
SUBSCRIBE_TIMEOUT_S: Final = 30.0
LOOK_S: Final = 1.0
"""How often a quiet connection looks whether the other side has gone."""


class BrokerFeed:
    """Serves the records of one database. `changed()` wakes the subscribers after a record was added."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._server: asyncio.Server | None = None
        self._subscribers: dict[asyncio.Task[None], asyncio.Event] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen and give the port (0 asks for a free one). OSError if it is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=LINE_LIMIT)
        return int(self._server.sockets[0].getsockname()[1])

    def changed(self) -> None:
        for news in self._subscribers.values():
            news.set()

    async def close(self) -> None:
        """Stop listening and end every subscription. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._subscribers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # asyncio always runs this callback in a task of its own
            return
        news = self._subscribers[task] = asyncio.Event()
        try:
            if len(self._subscribers) > MAX_SUBSCRIBERS:
                await _refuse(writer, "too many subscribers, come again later")
                return
            await self._subscription(reader, writer, news)
        except ConnectionError:
            return  # the subscriber has gone; it will come again with the last number that it has
        finally:
            del self._subscribers[task]
            writer.close()

    async def _subscription(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, news: asyncio.Event) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), SUBSCRIBE_TIMEOUT_S)
            last_seq = parse_subscribe(line)
        except (ValueError, TimeoutError) as error:
            await _refuse(writer, str(error) or "no SUBSCRIBE line came in time")
            return
        while not reader.at_eof():
            news.clear()
            last_seq = await self._send_after(last_seq, writer)
            try:
                await asyncio.wait_for(news.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _send_after(self, last_seq: int, writer: asyncio.StreamWriter) -> int:
        """Send what there is after `last_seq`, waiting for a slow reader; gives the last number sent."""
        statement = "SELECT seq, frame FROM record WHERE seq > ? ORDER BY seq LIMIT ?"
        while rows := self._database.execute(statement, (last_seq, BATCH)).fetchall():
            for seq, frame in rows:
                writer.write(struct.pack(">I", len(frame)) + frame)
                last_seq = seq
            await writer.drain()
        return last_seq


def parse_subscribe(line: bytes) -> int:
    """The number in `SUBSCRIBE <last_seq>\\n`; ValueError with a message for the subscriber."""
    words = line.decode("ascii", errors="replace").split()
    if not line.endswith(b"\n") or len(words) != 2 or words[0] != "SUBSCRIBE":
        raise ValueError("expected: SUBSCRIBE <last_seq>")
    number = words[1]
    if not (number.isascii() and number.isdigit() and len(number) <= 10):
        raise ValueError("last_seq must be a whole number of at most 10 digits, 0 for all")
    return int(number)


async def _refuse(writer: asyncio.StreamWriter, reason: str) -> None:
    # One line, whatever asyncio put into its message about an endless line.
    writer.write(f"ERR {' '.join(reason.split())[:120]}\n".encode())
    await writer.drain()
