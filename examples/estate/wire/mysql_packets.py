"""MySQL's packets (protocol 10): framing, the handshake, and the OK, ERR and EOF answers.

Every read is checked against the end of its packet: what is short is a ProtocolError.
"""

import asyncio
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from typing import Final

from examples.estate.wire.failures import Fault, SqlFailure

MAX_PACKET_BYTES: Final = 0xFFFFFF - 1
SERVER_VERSION: Final = "8.0.36-zhiyun-estate"
UTF8MB4: Final = 45
BINARY: Final = 63
PLUGIN: Final = b"mysql_native_password"
IN_TRANSACTION: Final = 0x0001
AUTOCOMMIT: Final = 0x0002

_LONG_PASSWORD, _FOUND_ROWS, _LONG_FLAG, _WITH_DATABASE = 0x1, 0x2, 0x4, 0x8
_PROTOCOL_41, _TRANSACTIONS, _SECURE, _PLUGIN_AUTH, _LENENC_AUTH = 0x200, 0x2000, 0x8000, 0x80000, 0x200000
_CAPABILITIES: Final = (
    _LONG_PASSWORD | _FOUND_ROWS | _LONG_FLAG | _WITH_DATABASE | _PROTOCOL_41 | _TRANSACTIONS | _SECURE | _PLUGIN_AUTH
)


class ProtocolError(Exception):
    """The client does not speak the protocol; its connection is closed, nothing else happens."""


class PacketTooLarge(Exception):
    """A packet of 16 MB or more: refused with error 1153, then the connection is closed."""


@dataclass(frozen=True, slots=True)
class MysqlError:
    """An error as MySQL words it."""

    number: int
    state: str
    text: str


class PacketStream:
    """Packets both ways, numbered per command."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.number = 0

    async def read(self) -> bytes:
        """Return the next packet's payload. Raises PacketTooLarge, ProtocolError, IncompleteReadError."""
        head = await self._reader.readexactly(4)
        length = int.from_bytes(head[:3], "little")
        self.number = (head[3] + 1) % 256
        if length > MAX_PACKET_BYTES:
            raise PacketTooLarge
        return await self._reader.readexactly(length)

    async def send(self, *payloads: bytes) -> None:
        """Send payloads as packets and wait while the client is slow to read."""
        self._writer.write(b"".join(self._packets(payload) for payload in payloads))
        await self._writer.drain()

    def _packets(self, payload: bytes) -> bytes:
        parts = [payload[at : at + 0xFFFFFF] for at in range(0, len(payload) + 1, 0xFFFFFF)]
        framed = b""
        for part in parts:
            framed += struct.pack("<I", len(part) | self.number << 24) + part
            self.number = (self.number + 1) % 256
        return framed


def length_encoded(data: bytes) -> bytes:
    """Return a length-encoded string."""
    return length_encoded_integer(len(data)) + data


def length_encoded_integer(value: int) -> bytes:
    """Return a length-encoded integer."""
    if value < 251:
        return bytes([value])
    if value < 2**16:
        return b"\xfc" + value.to_bytes(2, "little")
    return b"\xfd" + value.to_bytes(3, "little") if value < 2**24 else b"\xfe" + value.to_bytes(8, "little")


def ok(status: int, affected_rows: int = 0, last_id: int = 0) -> bytes:
    """OK packet."""
    return b"\0" + length_encoded_integer(affected_rows) + length_encoded_integer(last_id) + struct.pack("<HH", status, 0)


def eof(status: int) -> bytes:
    """EOF packet, behind the columns and behind the rows."""
    return b"\xfe" + struct.pack("<HH", 0, status)


def error(problem: MysqlError) -> bytes:
    """ERR packet."""
    text = problem.text[:500].encode("utf-8", "replace")
    return b"\xff" + struct.pack("<H", problem.number) + b"#" + problem.state.encode() + text


def new_nonce() -> bytes:
    """Return twenty random bytes without NUL, which ends strings in the handshake."""
    return bytes(1 + secrets.randbelow(127) for _ in range(20))


def greeting(connection_id: int, nonce: bytes) -> bytes:
    """Handshake version 10."""
    low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    return (
        b"\x0a"
        + SERVER_VERSION.encode()
        + b"\0"
        + struct.pack("<I", connection_id)
        + nonce[:8]
        + b"\0"
        + struct.pack("<HBHHB", low, UTF8MB4, AUTOCOMMIT, high, 21)
        + b"\0" * 10
        + nonce[8:]
        + b"\0"
        + PLUGIN
        + b"\0"
    )


@dataclass(frozen=True, slots=True)
class Login:
    """What a client presents: its proof is the scrambled password."""

    user: str
    proof: bytes
    database: str
    plugin: bytes


def read_login(payload: bytes) -> Login:
    """Return the handshake response; raise ProtocolError when it is short or of an older protocol."""
    if len(payload) < 33:
        raise ProtocolError(f"a handshake response of {len(payload)} bytes is too short")
    (capabilities,) = struct.unpack_from("<I", payload)
    if not capabilities & _PROTOCOL_41:
        raise ProtocolError("the client speaks no protocol 4.1")
    user, at = _until_nul(payload, 32)
    if capabilities & _SECURE or capabilities & _LENENC_AUTH:
        size = payload[at] if at < len(payload) else 0
        proof, at = payload[at + 1 : at + 1 + size], at + 1 + size
        if at > len(payload) or size > 250:
            raise ProtocolError("the proof of a handshake response ends behind the packet")
    else:
        proof, at = _until_nul(payload, at)
    database, plugin = b"", PLUGIN
    if capabilities & _WITH_DATABASE:
        database, at = _until_nul(payload, at)
    if capabilities & _PLUGIN_AUTH and at < len(payload):
        plugin, at = _until_nul(payload, at)
    return Login(user.decode("utf-8", "replace"), proof, database.decode("utf-8", "replace"), plugin)


def _until_nul(payload: bytes, at: int) -> tuple[bytes, int]:
    end = payload.find(b"\0", at)
    end = len(payload) if end < 0 else end
    return payload[at:end], end + 1


def auth_switch(nonce: bytes) -> bytes:
    """Ask a client that began with another plugin for mysql_native_password."""
    return b"\xfe" + PLUGIN + b"\0" + nonce + b"\0"


def is_proof(proof: bytes, password: str, nonce: bytes) -> bool:
    """Whether the proof is SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password))), or empty for no password."""
    if not password:
        return not proof
    # The protocol's own algorithm; nothing is stored in this form.
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324
    twice = hashlib.sha1(once).digest()  # noqa: S324
    mask = hashlib.sha1(nonce + twice).digest()  # noqa: S324
    return hmac.compare_digest(proof, bytes(a ^ b for a, b in zip(once, mask, strict=True)))


_WORDS: Final[dict[Fault, tuple[int, str, str]]] = {
    Fault.SYNTAX: (1064, "42000", "You have an error in your SQL syntax near '{near}'"),
    Fault.NO_TABLE: (1146, "42S02", "Table '{schema}.{near}' doesn't exist"),
    Fault.NO_COLUMN: (1054, "42S22", "Unknown column '{near}'"),
    Fault.NO_FUNCTION: (1305, "42000", "FUNCTION {schema}.{near} does not exist"),
    Fault.DUPLICATE: (1062, "23000", "Duplicate entry for key '{near}'"),
    Fault.NOT_NULL: (1048, "23000", "Column '{near}' cannot be null"),
    Fault.CONSTRAINT: (1452, "23000", "Cannot add or update a child row: {detail}"),
    Fault.LOCKED: (1205, "HY000", "Lock wait timeout exceeded; try restarting transaction"),
    Fault.CONVERSION: (1292, "22007", "Incorrect value: {detail}"),
    Fault.EXISTS: (1050, "42S01", "Table '{near}' already exists"),
    Fault.CANCELLED: (1317, "70100", "Query execution was interrupted"),
    Fault.UNDECLARED: (1193, "HY000", "Unknown system variable '{near}'"),
}


def mysql_error(failure: SqlFailure, schema: str) -> MysqlError:
    """Return MySQL's number, state and words for a failed statement; 1105 where it has none."""
    number, state, words = _WORDS.get(failure.fault, (1105, "HY000", "{detail}"))
    return MysqlError(number, state, words.format(near=failure.near, detail=failure.detail, schema=schema))
