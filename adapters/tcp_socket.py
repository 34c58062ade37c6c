"""A feed over a TCP socket: connect, say where we stand, take frames until the feed is quiet. What a frame is,
`framing` says.

It ends a read when no record came for `idle_s`; the next read connects again and says where it stands.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

from msgspec import Meta, Struct

from adapters.framing import DelimiterFraming, FrameSplitter, Framing, unescaped
from core.adapter import Adapter, Source
from core.clock import epoch_ms
from core.errors import InvalidInput, NotConnected, PlatformError, Unavailable
from core.records import Cursor, Frames, Transaction
from core.schema import Dataset

Positive = Annotated[float, Meta(gt=0)]

READ_BYTES = 64 * 1024
QUIET_S = 0.02
"""A lone record waits at most so long for company …"""
GATHER_S = 0.2
"""… and a trickle that never rests at most so long."""


class Heartbeat(Struct, frozen=True, forbid_unknown_fields=True):
    """Signs of life, written with escapes. `send` is sent every `every_s` while a read runs; frames equal to `ignore` are no
    records and do not prolong a read."""

    every_s: Positive = 30.0
    send: str | None = None
    ignore: str | None = None


class TcpSocketSettings(Struct, frozen=True, forbid_unknown_fields=True):
    r"""One feed. `hello` is sent after connecting, with escapes and {cursor}: the last value of the dataset's cursor field, or
    `cursor_start`; such as `SUBSCRIBE {cursor}\n`. A feed without it is taken from now on."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    framing: Framing = DelimiterFraming()
    hello: str | None = None
    cursor_start: str = "0"
    idle_s: Positive = 5.0
    connect_timeout_s: Positive = 5.0
    heartbeat: Heartbeat | None = None


class TcpSocketOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """None: a socket carries one kind of record."""


class TcpSocketConnection:
    """Each read has a socket of its own."""

    def __init__(self, settings: TcpSocketSettings) -> None:
        self._settings = settings
        self._where = f"{settings.host}:{settings.port}"
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_closed = False

    async def check(self) -> None:
        """Connect. Nothing is said: many feeds count every hello as a subscriber."""
        async with self._connected():
            pass

    async def close(self) -> None:
        self._is_closed = True
        for writer in list(self._writers):
            writer.transport.abort()

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """A feed does not say how much it has."""
        return None

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Frames as they come. `observed_ms` is when a batch's first frame had come: a feed pushes, it is not asked."""
        hello = self._hello(cursor)
        splitter = FrameSplitter(self._settings.framing)
        async with self._connected() as (reader, writer):
            await self._say(writer, hello)
            gathering = _Gathering(self._settings, splitter, batch_rows)
            is_open = True
            while is_open:
                is_open = await self._hear(reader, writer, gathering)
                for frames, observed_ms in gathering.ready(is_open):
                    yield Transaction(Frames(frames), None, observed_ms)
            gathering.end()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gathering: "_Gathering") -> bool:
        """Wait for bytes as long as makes sense now; False when the read is over."""
        now = asyncio.get_running_loop().time()
        if gathering.idle_at <= now:
            return False
        if gathering.beat_at <= now and self._settings.heartbeat is not None:
            await self._say(writer, unescaped(self._settings.heartbeat.send or ""))
            gathering.beaten(now)
        try:
            async with asyncio.timeout_at(gathering.wake_at()):
                with self._translated():
                    data = await reader.read(READ_BYTES)
        except TimeoutError:
            gathering.quiet()
            return True
        if not data and self._is_closed:
            raise NotConnected(f"{self._where}: this connection was closed during the read")
        gathering.take(data, asyncio.get_running_loop().time())
        return bool(data)

    async def _say(self, writer: asyncio.StreamWriter, words: bytes) -> None:
        if words:
            with self._translated():
                writer.write(words)
                await writer.drain()

    def _hello(self, cursor: Cursor | None) -> bytes:
        if self._settings.hello is None:
            return b""
        value = str((cursor or {}).get("value", self._settings.cursor_start))
        if not value.isprintable():  # a line break in a value would be a command of its own
            raise InvalidInput(f"{self._where}: the cursor has characters that can't stand in a hello: {value[:60]!r}")
        before, braces, after = self._settings.hello.partition("{cursor}")
        return unescaped(before) + (value.encode() if braces else b"") + unescaped(after)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self._is_closed:
            raise NotConnected(f"{self._where}: this connection is closed")
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                reader, writer = await asyncio.open_connection(self._settings.host, self._settings.port, limit=READ_BYTES)
        except TimeoutError as error:
            raise NotConnected(f"{self._where}: no connection within {self._settings.connect_timeout_s:g} s") from error
        except OSError as error:
            raise NotConnected(f"{self._where}: can't connect: {error.strerror or error}") from error
        self._writers.add(writer)
        try:
            yield reader, writer
        finally:
            self._writers.discard(writer)
            writer.transport.abort()  # nothing of ours is unsent, and a slow feed must not hold us at the end

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = NotConnected if self._is_closed else Unavailable
            raise kind(f"{self._where}: the connection broke off: {error.strerror or type(error).__name__}") from error


class _Gathering:
    """What a read has taken and not given on, and until when it waits. Times are the loop's."""

    def __init__(self, settings: TcpSocketSettings, splitter: FrameSplitter, batch_rows: int) -> None:
        beat = settings.heartbeat
        self._idle_s = settings.idle_s
        self._every_s = beat.every_s if beat is not None and beat.send else float("inf")
        self._ignored = unescaped(beat.ignore) if beat is not None and beat.ignore is not None else None
        self._splitter = splitter
        self._batch_rows = batch_rows
        self._frames: list[bytes] = []
        self._observed_ms = 0
        self._flush_at = float("inf")
        self._is_quiet = False
        self._error: PlatformError | None = None
        now = asyncio.get_running_loop().time()
        self.idle_at = now + self._idle_s
        self.beat_at = now + self._every_s
        self._quiet_at = float("inf")

    def wake_at(self) -> float:
        return min(self.idle_at, self.beat_at, self._quiet_at, self._flush_at)

    def beaten(self, now: float) -> None:
        self.beat_at = now + self._every_s

    def quiet(self) -> None:
        self._is_quiet = True

    def take(self, data: bytes, now: float) -> None:
        """Take bytes in. An error of the feed is kept until the frames before it are given on."""
        self._splitter.feed(data)
        had = len(self._frames)
        try:
            self._frames.extend(frame for frame in self._splitter.frames() if frame != self._ignored)
        except Unavailable as error:
            self._error = error
        if len(self._frames) == had:
            return
        self.idle_at = now + self._idle_s
        self._quiet_at = now + QUIET_S
        if not had:
            self._observed_ms = epoch_ms()
            self._flush_at = now + GATHER_S

    def ready(self, is_open: bool) -> Iterator[tuple[list[bytes], int]]:
        """The batches to give on now, then the error that came behind them."""
        is_due = self._is_quiet or not is_open or self._error is not None
        is_due = is_due or asyncio.get_running_loop().time() >= self._flush_at
        self._is_quiet = False
        while len(self._frames) >= self._batch_rows or (is_due and self._frames):
            batch, self._frames = self._frames[: self._batch_rows], self._frames[self._batch_rows :]
            yield batch, self._observed_ms
            # While the caller was at work the feed was not heard: that time is not its silence.
            self.idle_at = max(self.idle_at, asyncio.get_running_loop().time() + self._idle_s)
        if not self._frames:
            self._quiet_at = self._flush_at = float("inf")
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """The read is over. Raises Unavailable when that cuts a frame off."""
        self._splitter.end()


def _open(settings: TcpSocketSettings) -> TcpSocketConnection:
    return TcpSocketConnection(settings)


ADAPTER = Adapter(
    name="tcp_socket",
    title="Feed over a TCP socket",
    settings=TcpSocketSettings,
    options=TcpSocketOptions,
    abilities=frozenset({"read"}),
    open=_open,
)

_reads: type[Source] = TcpSocketConnection
