"""The transport that needs nothing installed: a log in one SQLite file, shared by the processes of one machine.

Order holds within the whole subscription, so also per key: an envelope that waits for another attempt holds back those after
it. What others publish is seen within some hundredths of a second, what this process publishes at once.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from bus import embedded_log as log
from bus.embedded_past import EmbeddedPast
from bus.embedded_reader import EmbeddedReader, Turn
from bus.group_commit import GroupCommit, connect, translated
from bus.packing import pack
from bus.topics import check_subscription, check_topics
from core.bus import Channel, DeadLetter, Envelope, Reader, Subscription, Transport
from core.errors import NotConnected, Unavailable
from core.lane import Lane
from core.supervise import Tasks

T = TypeVar("T")
_logger = structlog.get_logger(__name__)
_POLL_S = 0.025
_TRIM_S = 1.0
_TRIM_STEPS = 50  # of a thousand messages each, a second


class EmbeddedTransport:
    """See core.bus.Transport. At most `max_bytes` of data wait for their subscriptions; past that publish raises Limited. What was
    settled is kept for `keep_s`, as long as that leaves room."""

    def __init__(self, path: Path, *, max_bytes: int = 2 << 30, keep_s: float = 0.0) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep_ms = int(keep_s * 1000)
        self.past = EmbeddedPast(self, max_bytes=max_bytes, keeps=keep_s > 0)
        self._tasks = Tasks(self._report)
        self._commits = Tasks(self._report)
        self._writer = GroupCommit(path, self._commits)
        self._thread = Lane("bus-read")
        self._connection: sqlite3.Connection | None = None
        self._readers: set[EmbeddedReader] = set()
        self._is_closed = False

    def _report(self, task: str, error: BaseException) -> None:
        _logger.error("bus task ended", task=task, file=str(self._path), error=str(error))

    async def open(self) -> None:
        """Open or make the file. Raises Unavailable, which names the file, when that can't be done; nothing is deleted."""
        try:
            await self._writer.open(log.create)
            await self._thread.run(self._connect)
            await self.read(lambda db: db.execute("SELECT count(*) FROM subscriptions").fetchone())
        except BaseException:
            await self.close()
            raise
        self._tasks.spawn(self._watch(), name="bus watch")
        self._tasks.spawn(self._trim(), name="bus trim")

    def _connect(self) -> None:
        with translated(self._path):
            self._connection = connect(self._path)
            self._connection.execute("PRAGMA query_only = ON")

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work` on the reading connection."""
        if self._is_closed:
            raise NotConnected("the bus was closed")
        return await self._thread.run(partial(self._read, work))

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise NotConnected(f"the bus's file {self._path} is not open")
        with translated(self._path):
            return work(self._connection)

    async def write(self, work: Callable[[sqlite3.Connection], T], *, is_synced: bool) -> T:
        """The result of `work` once it is committed; see GroupCommit.run."""
        return await self._writer.run(work, is_synced=is_synced)

    async def publish(self, envelopes: Sequence[Envelope], *, channel: Channel = "data") -> None:
        check_topics(envelopes)
        if not envelopes:
            return
        bodies = [pack(envelope) for envelope in envelopes]
        await self.write(lambda db: log.append(db, channel, envelopes, bodies, self._max_bytes), is_synced=channel == "data")
        self._wake()

    async def subscribe(self, subscription: Subscription) -> Reader:
        check_subscription(subscription)
        if subscription.durable:
            await self.write(lambda db: log.declare(db, subscription), is_synced=True)
            reader = EmbeddedReader(self, subscription, Turn(self._path, subscription.name), 0)
        else:
            reader = EmbeddedReader(self, subscription, None, await self.read(lambda db: log.end(db, subscription.channel)))
        self._readers = {known for known in self._readers if not known.is_closed} | {reader}
        return reader

    async def unsubscribe(self, name: str) -> None:
        for reader in self._readers:
            if reader.subscription.durable and reader.subscription.name == name:
                await reader.close()
        dropped = await self.write(lambda db: log.remove(db, name), is_synced=True)
        if dropped:
            _logger.warning("a subscription was removed with its dead letters", subscription=name, dead_letters=dropped)

    async def bury(self, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
        await self.write(lambda db: log.bury_beside(db, name, envelope, cause, attempts), is_synced=True)

    async def depth(self) -> dict[str, int]:
        return await self.read(log.depth)

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return await self.read(lambda db: log.dead_letters(db, limit))

    async def redeliver(self, dead_letter_id: str) -> None:
        await self.write(lambda db: log.redeliver(db, dead_letter_id), is_synced=True)
        self._wake()

    async def discard(self, dead_letter_id: str) -> DeadLetter:
        return await self.write(lambda db: log.discard(db, dead_letter_id), is_synced=True)

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()

    async def _watch(self) -> None:
        """Wake the readers after a commit of any process; asking costs some microseconds."""
        seen = -1
        while True:
            await asyncio.sleep(_POLL_S)
            if all(reader.is_closed for reader in self._readers):
                continue
            try:
                version = await self.read(lambda db: int(db.execute("PRAGMA data_version").fetchone()[0]))
            except Unavailable:
                version = seen  # the readers meet the same fault, and tell
            if version != seen:
                seen = version
                self._wake()

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_S)
            try:
                for channel in _CHANNELS:
                    await self._trim_channel(channel)
            except Unavailable as error:
                _logger.warning("bus trim failed", file=str(self._path), error=error.detail)

    async def _trim_channel(self, channel: Channel) -> None:
        keep_ms = self._keep_ms if channel == "data" else 0
        for _ in range(_TRIM_STEPS):
            if not await self.write(lambda db: log.trim(db, channel, keep_ms=keep_ms), is_synced=False):
                return

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for reader in self._readers:
            await reader.close()
        await self._tasks.close()
        await self._writer.close()
        await self._thread.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_CHANNELS: tuple[Channel, ...] = ("data", "control")


def _conforms(path: Path) -> Transport:
    return EmbeddedTransport(path)
