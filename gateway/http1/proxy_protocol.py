"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): whom a trusted balancer in front speaks for."""

import ipaddress
from typing import NamedTuple

from gateway.http1.refused import malformed

MAX_V1 = 107
MAX_V2 = 536  # header, the longest addresses and what is left for TLVs
_SIGNATURE_V1 = b"PROXY "
_SIGNATURE_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_HEADER_V2 = 16
_ADDRESS_BYTES = {1: 4, 2: 16}  # by address family: IPv4, IPv6
_UNIX = 3
_UNIX_BYTES = 216


class Peer(NamedTuple):
    """The caller as the balancer saw it."""

    address: str
    port: int


def parse(data: bytes) -> tuple[int, Peer | None] | None:
    """Bytes of the header and the peer it names, None where it names none (LOCAL, UNKNOWN, Unix sockets). None as a whole: more
    bytes are needed. Raises Refused."""
    if data.startswith(_SIGNATURE_V2[: len(data)]):
        return _parse_v2(data) if len(data) >= _HEADER_V2 else None
    if data.startswith(_SIGNATURE_V1[: len(data)]):
        return _parse_v1(data)
    raise malformed("the connection does not begin with a PROXY header")


def _parse_v1(data: bytes) -> tuple[int, Peer | None] | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1 or b"\n" in data:
            raise malformed("the PROXY line does not end within 107 bytes")
        return None
    _, family, *rest = data[:end].split(b" ")
    if family == b"UNKNOWN":
        return end + 2, None
    if family not in (b"TCP4", b"TCP6") or len(rest) != 4:
        raise malformed("the PROXY line is malformed")
    version = 4 if family == b"TCP4" else 6
    source, _ = _address(rest[0], version), _address(rest[1], version)
    port, _ = _port(rest[2]), _port(rest[3])
    return end + 2, Peer(source, port)


def _address(text: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise malformed("the PROXY line holds no address") from None
    if found.version != version or b"%" in text:
        raise malformed("the PROXY line's address is of another family than it says")
    return str(found)


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or (text[:1] == b"0" and text != b"0") or int(text) > 65_535:
        raise malformed("the PROXY line holds no port")
    return int(text)


def _parse_v2(data: bytes) -> tuple[int, Peer | None] | None:
    version, command = data[12] >> 4, data[12] & 15
    family, transport = data[13] >> 4, data[13] & 15
    total = _HEADER_V2 + int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1 or family > _UNIX or transport > 2:
        raise malformed("the PROXY header is of an unknown version, command or family")
    if total > MAX_V2:
        raise malformed(f"the PROXY header is over {MAX_V2} bytes")
    if len(data) < total:
        return None
    size = _ADDRESS_BYTES.get(family, 0)
    used = _HEADER_V2 + (_UNIX_BYTES if family == _UNIX else size * 2 + 4 if size else 0)
    if command == 0:  # LOCAL: the balancer's own connection; whatever follows is skipped
        return total, None
    if total < used:
        raise malformed("the PROXY header is shorter than its addresses")
    _check_tlvs(data[used:total])
    if not size or transport == 0:
        return total, None
    source = ipaddress.ip_address(data[_HEADER_V2 : _HEADER_V2 + size])
    return total, Peer(str(source), int.from_bytes(data[used - 4 : used - 2], "big"))


def _check_tlvs(data: bytes) -> None:
    """Type, length of two bytes, value; they fill the rest exactly."""
    while data:
        length = int.from_bytes(data[1:3], "big")
        if len(data) < 3 + length:
            raise malformed("the PROXY header's extensions are cut short")
        data = data[3 + length :]
