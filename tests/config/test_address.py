"""Addresses are parsed with clear errors and written back the same."""

import pytest

from config.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:80", "::1", 80),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("gate-1.example:65535", "gate-1.example", 65535),
    ],
)
def test_round_trip(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)
    assert address == Address(host, port)
    assert len({address, Address(host, port)}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", "is not an address; write host:port"),
        (":8080", "has no host; write 0.0.0.0:8080"),
        ("h:", "'' in 'h:' is not a port"),
        ("h:65536", "from 0 to 65535"),
        ("h:-1", "is not a port"),
        ("h:٣", "is not a port"),
        ("::1:80", "an IPv6 address stands in brackets, such as [::1]:80"),
        ("[::g]:80", "is not an IPv6 address"),
        ("256.0.0.1:80", "neither a host name nor an IP address"),
        ("a b:80", "neither a host name nor an IP address"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(text)
    assert expected in str(caught.value)
