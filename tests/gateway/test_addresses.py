"""Lists of networks: against the standard library's, and as fast with 100,000 entries as with ten."""

import ipaddress
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import Networks

_four = st.integers(0, 2**32 - 1)
_six = st.one_of(st.integers(0, 2**128 - 1), st.integers(0x2001 << 112, (0x2001 << 112) + 2**40))
_networks = st.one_of(
    st.tuples(_four, st.integers(0, 32)).map(lambda pair: ipaddress.IPv4Network(pair, strict=False)),
    st.tuples(_six, st.integers(0, 128)).map(lambda pair: ipaddress.IPv6Network(pair, strict=False)),
)


@given(st.lists(_networks, max_size=20), st.lists(st.one_of(_four.map(ipaddress.IPv4Address), _six.map(ipaddress.IPv6Address))))
def test_as_the_standard_library_says(networks: list[Any], addresses: list[Any]) -> None:
    compiled = Networks(str(network) for network in networks)
    edges = [edge for network in networks for edge in (network[0], network[-1])]
    for address in (*addresses, *edges):
        if address.version == 6 and address.ipv4_mapped:
            continue
        expected = any(address in network for network in networks)
        assert (str(address) in compiled) == compiled.has(str(address)) == expected


@pytest.mark.parametrize(
    ("network", "address", "is_in"),
    [
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:0a01:0203", True),
        ("::ffff:10.0.0.0/104", "10.200.0.1", True),
        ("::ffff:10.0.0.0/104", "11.0.0.1", False),
        ("::ffff:10.1.1.1", "10.1.1.1", True),
        ("::ffff:0:0/90", "10.0.0.1", False),
        ("::ffff:0:0/90", "::fffe:0:1", True),
        ("::/0", "10.0.0.1", False),  # an IPv4 caller is an IPv4 caller
        ("0.0.0.0/0", "::ffff:10.0.0.1", True),
        ("fd00::/8", "fd00::1%eth0", True),
        ("10.0.0.5/8", "10.9.9.9", True),
        ("10.0.0.0/255.0.0.0", "10.9.9.9", True),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "10.0.0", False),
        ("10.0.0.0/8", "10.0.0.1\0", False),
        ("10.0.0.0/8", "010.0.0.1", False),
        ("10.0.0.0/8", "十.0.0.1", False),
        ("::1", ":", False),
    ],
)
def test_forms_of_addresses(network: str, address: str, is_in: bool) -> None:
    networks = Networks([network])
    assert networks.has(address) == is_in
    assert (address in networks) == is_in


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/", "host", "1.2.3.4/-1"])
def test_text_that_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Networks([text])


def _entries(count: int) -> list[str]:
    made = random.Random(7)  # the same each time
    four = (
        f"{made.randrange(1, 224)}.{made.randrange(256)}.{made.randrange(256)}.0/{made.choice((22, 24))}" for _ in range(count // 2)
    )
    six = (f"2001:{made.randrange(65_536):x}:{made.randrange(65_536):x}::/48" for _ in range(count - count // 2))
    return [*four, *six]


def _lines(work: Callable[[], object]) -> int:
    """How many lines of Python run."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class _Number(int):
    """Counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        _Number.compared += 1
        return int(self) < int(other)


def test_a_hundred_thousand_entries_cost_no_more_steps_than_ten() -> None:
    """Counted, not timed: lines run, and comparisons of the bisection."""
    counted = []
    addresses = ["9.9.9.9", "200.1.2.3", "2001:7:7::1", "2001:ffff:1::", "fe80::1"]
    for count in (10, 100_000):
        networks = Networks(_entries(count))
        lines = max(_lines(lambda networks=networks, address=address: networks.has(address)) for address in addresses)  # type: ignore[misc]
        _Number.compared = 0
        for address in addresses:
            number = _Number(int(ipaddress.ip_address(address)))
            assert (number in (networks._six if ":" in address else networks._four)) == networks.has(address)
        counted.append((lines, _Number.compared / len(addresses)))
    (few_lines, _), (many_lines, comparisons) = counted
    assert many_lines <= few_lines + 3
    assert comparisons <= 14  # a block of 65,536 addresses, whatever else is listed


def test_the_memo_is_bounded() -> None:
    networks = Networks(["10.0.0.0/8"])
    for number in range(30_000):
        assert f"10.0.{number // 256}.{number % 256}" in networks
    assert len(networks._memo) <= 8_192
