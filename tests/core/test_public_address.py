"""Public addresses, and those that only look so."""

import ipaddress

import pytest

from core.public_address import is_allowed, is_public


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ],
)
def test_all_others_are_not(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


def test_a_mapped_address_is_allowed_where_its_ipv4_form_is() -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert is_allowed(ipaddress.ip_address("10.2.3.4"), networks)
    assert is_allowed(ipaddress.ip_address("::ffff:10.2.3.4"), networks)
    assert is_allowed(ipaddress.ip_address("fd00::5"), networks)
    assert not is_allowed(ipaddress.ip_address("11.0.0.1"), networks)
