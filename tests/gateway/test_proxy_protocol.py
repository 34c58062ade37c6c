"""The PROXY protocol as HAProxy specifies it, byte by byte; and everything that is not it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.proxy_protocol import MAX_V1, MAX_V2, Peer, parse
from gateway.http1.refused import Refused

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")
IPV6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed + IPV4[8:]


def v2(body: bytes, *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(body) if length is None else length).to_bytes(2, "big") + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    ("data", "peer"),
    [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", Peer("192.0.2.1", 56324)),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Peer("255.255.255.255", 65535)),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", Peer("2001:db8::1", 56324)),
        (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 0 443\r\n", Peer("2001:db8::1", 0)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
        (v2(IPV4), Peer("192.0.2.1", 56324)),
        (v2(IPV6, family=0x21), Peer("2001:db8::1", 56324)),
        (v2(IPV4, family=0x12), Peer("192.0.2.1", 56324)),
        (v2(IPV4 + tlv(1, b"h2") + tlv(4, b"")), Peer("192.0.2.1", 56324)),
        (v2(IPV4 + tlv(4, b"\0" * (MAX_V2 - 16 - 12 - 3))), Peer("192.0.2.1", 56324)),
        (v2(b"", command=0x20, family=0), None),
        (v2(b"anything", command=0x20, family=0), None),
        (v2(b"", family=0), None),
        (v2(b"/run/a".ljust(108, b"\0") * 2, family=0x31), None),
    ],
)
def test_a_header_is_read_to_its_end_and_no_further(data: bytes, peer: Peer | None) -> None:
    for following in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        assert parse(data + following) == (len(data), peer)
    assert {parse(data[:end]) for end in range(len(data))} == {None}


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\0",
            b"PROXX",
            b"proxy TCP4 ",
            b"PROXY\tTCP4",
            b"\r\n\r\n\0\r\nQUIX",
            b"\r\n\r\nX",
            b"\n",
        ),
        *(
            b"PROXY \r\n",
            b"PROXY TCP4\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP5 a\r\n",
        ),
        *(
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        ),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
        *(b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
        *(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n", b"PROXY TCP4 \xff 1.2.3.4 1 2\r\n"),
        *(b"PROXY UNKNOWN " + b"a" * 100 + b"\r\n", b"PROXY " + b"a" * MAX_V1),
        *(v2(IPV4, command=0x11), v2(IPV4, command=0x31), v2(IPV4, command=0x22), v2(IPV4, family=0x41), v2(IPV4, family=0x13)),
        *(
            v2(IPV4[:-1]),
            v2(b""),
            v2(IPV4, family=0x21),
            v2(IPV4, family=0x31),
            v2(IPV4, length=MAX_V2 - 15),
            v2(IPV4, length=65535),
        ),
        *(v2(IPV4 + b"\x01"), v2(IPV4 + b"\x01\0"), v2(IPV4 + b"\x01\0\x05abcd"), v2(IPV4 + tlv(1, b"h2") + b"\x04\xff\xff")),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse(data)
    assert (caught.value.status, caught.value.code) == (400, "malformed_request")


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"]), st.binary(max_size=600))
def test_any_bytes_get_a_bounded_answer(beginning: bytes, rest: bytes) -> None:
    try:
        found = parse(beginning + rest)
    except Refused:
        return
    if found is None:
        assert len(beginning + rest) < MAX_V2  # it never waits for more than the longest header
        return
    consumed, peer = found
    assert 0 < consumed <= min(len(beginning + rest), MAX_V2)
    if peer is not None:
        assert str(ipaddress.ip_address(peer.address)) == peer.address
        assert 0 <= peer.port <= 65_535
