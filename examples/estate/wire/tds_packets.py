"""TDS framing ([MS-TDS] 2.2.3): packets of eight bytes of header, put together to messages, and cut again.

The reader notices an attention while the server is still answering, which is the only thing a client sends then.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, SupportsIndex

HEADER: Final = struct.Struct(">BBHHBB")
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
DEFAULT_PACKET_BYTES: Final = 4096
_LAST: Final = 0x01
_RESET: Final = 0x08 | 0x10


class ProtocolError(Exception):
    """The client does not speak the protocol; its connection is closed, nothing else happens."""


class MessageType(IntEnum):
    """Types of packets ([MS-TDS] 2.2.3.1.1)."""

    BATCH = 1
    RPC = 3
    REPLY = 4
    ATTENTION = 6
    TRANSACTION = 14
    LOGIN = 16
    PRELOGIN = 18


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client; `resets` when it asks for a fresh session first."""

    type: int
    body: bytes
    resets: bool


class AttentionReader(asyncio.StreamReader):
    """A stream reader that calls back the moment the header of an attention arrives."""

    def __init__(self, on_attention: Callable[[], None]) -> None:
        super().__init__(limit=2**16)
        self._on_attention = on_attention
        self._skip = 0
        self._head = b""

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Look at the packet headers in passing."""
        data = bytes(data)
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._head += data[at : at + 8 - len(self._head)]
            at = min(len(data), at + 8)
            if len(self._head) == 8:
                self._headed()
        super().feed_data(data)

    def _headed(self) -> None:
        self._skip = max(HEADER.unpack(self._head)[2] - 8, 0)
        if self._head[0] == MessageType.ATTENTION:
            self._on_attention()
        self._head = b""


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Return the next whole message; raise ProtocolError, or IncompleteReadError when the client has gone."""
    body = bytearray()
    while True:
        type_, status, length, _, _, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
        if length < HEADER.size:
            raise ProtocolError(f"a packet of {length} bytes is shorter than its header")
        body += await reader.readexactly(length - HEADER.size)
        if len(body) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        if status & _LAST:
            return Message(type_, bytes(body), bool(status & _RESET))


class ReplyWriter:
    """Cuts one reply into packets; whole packets go out as they fill, the last with `finish`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.packet_bytes = DEFAULT_PACKET_BYTES
        self._writer = writer
        self._pending = bytearray()
        self._number = 0

    async def write(self, data: bytes) -> None:
        """Add to the reply; waits while the client is slow to read."""
        self._pending += data
        room = self.packet_bytes - HEADER.size
        whole = (len(self._pending) - 1) // room
        if whole <= 0:
            return
        view = memoryview(self._pending)
        packets = [self._packet(view[i * room : (i + 1) * room], 0) for i in range(whole)]
        view.release()
        del self._pending[: whole * room]
        self._writer.write(b"".join(packets))
        await self._writer.drain()

    async def finish(self) -> None:
        """Send the last packet."""
        self._writer.write(self._packet(self._pending, _LAST))
        self._pending.clear()
        self._number = 0
        await self._writer.drain()

    def _packet(self, body: memoryview | bytearray, status: int) -> bytes:
        self._number = (self._number + 1) % 256
        return HEADER.pack(MessageType.REPLY, status, HEADER.size + len(body), 0, self._number, 0) + bytes(body)
