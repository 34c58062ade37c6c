"""LOGIN7 ([MS-TDS] 2.2.6.4): who wants in, to which database, with packets of what size."""

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from examples.estate.wire.tds_packets import DEFAULT_PACKET_BYTES, ProtocolError
from examples.estate.wire.tds_parameters import utf16

_FIELDS_AT: Final = 36
_USER, _PASSWORD, _DATABASE = 1, 2, 8
_LEAST_PACKET_BYTES, _MOST_PACKET_BYTES = 512, 32767


@dataclass(frozen=True, slots=True)
class Login:
    """What a client presents; the packet size is within the protocol's bounds."""

    user: str
    password: str
    database: str
    packet_bytes: int


def read_login(body: bytes) -> Login:
    """Return the login; raise ProtocolError when offsets or lengths leave the message."""
    if len(body) < _FIELDS_AT + 4 * 9:
        raise ProtocolError(f"a login of {len(body)} bytes is too short")
    (asked,) = struct.unpack_from("<I", body, 8)
    password = bytes(((b ^ 0xA5) << 4 | (b ^ 0xA5) >> 4) & 0xFF for b in _field(body, _PASSWORD))
    return Login(
        user=utf16(_field(body, _USER)),
        password=utf16(password),
        database=utf16(_field(body, _DATABASE)),
        packet_bytes=min(max(asked or DEFAULT_PACKET_BYTES, _LEAST_PACKET_BYTES), _MOST_PACKET_BYTES),
    )


def _field(body: bytes, index: int) -> bytes:
    offset, characters = struct.unpack_from("<HH", body, _FIELDS_AT + 4 * index)
    if offset + 2 * characters > len(body):
        raise ProtocolError(f"field {index} of a login ends behind the message")
    return body[offset : offset + 2 * characters]


def is_welcome(login: Login, users: Mapping[str, str]) -> bool:
    """Whether the password is the user's; takes as long for an unknown user."""
    expected = users.get(login.user)
    given = login.password.encode("utf-8", "surrogatepass")
    is_same = hmac.compare_digest(given, (expected or "").encode())
    return is_same and expected is not None
