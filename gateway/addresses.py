"""Lists of networks (CIDR) that stay fast whatever their length: one set for each prefix length that occurs. Pure.

An address costs at most as many look-ups as there are prefix lengths, not entries; a bounded memo answers repeats with one.
"""

import socket
from collections.abc import Iterable
from ipaddress import ip_network

_MEMO_ENTRIES = 8192
_MAPPED = b"\0" * 10 + b"\xff\xff"  # ::ffff:0:0/96, an IPv4 caller as a dual-stack listener sees it (RFC 4291 §2.5.5.2)
_MAPPED_BITS = 96

Prefixes = list[tuple[int, set[int]]]
"""How many bits to shift an address right, and the networks of that length shifted likewise; the shortest network first."""


class Networks:
    """A list of networks. `str` addresses are looked up; an address that is none (a socket without one) is in no list."""

    __slots__ = ("_four", "_memo", "_six")

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for text that is no network or address. Host bits are ignored."""
        four: dict[int, set[int]] = {}
        six: dict[int, set[int]] = {}
        for text in networks:
            number, length, is_four = _network(text)
            table, width = (four, 32) if is_four else (six, 128)
            table.setdefault(width - length, set()).add(number >> (width - length))
        self._four: Prefixes = sorted(four.items(), reverse=True)
        self._six: Prefixes = sorted(six.items(), reverse=True)
        self._memo: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._four or self._six)

    def __contains__(self, address: str) -> bool:
        known = self._memo.get(address)
        if known is not None:
            return known
        if len(self._memo) >= _MEMO_ENTRIES:
            self._memo.clear()  # cheaper than an order, and filled again in no time by those who call often
        found = self._memo[address] = self._find(address)
        return found

    def _find(self, address: str) -> bool:
        packed = _packed(address)
        if packed is None:
            return False
        number = int.from_bytes(packed)
        for shift, networks in self._four if len(packed) == 4 else self._six:
            if number >> shift in networks:
                return True
        return False


def _network(text: str) -> tuple[int, int, bool]:
    """The address as a number, the prefix length, and whether it is IPv4."""
    address, slash, length = text.partition("/")
    packed = _packed(address)
    if packed is None or "%" in text or not (length.isascii() and length.isdigit() if slash else True):
        network = ip_network(text, strict=False)  # netmasks and the like; raises ValueError in words a person understands
        return int(network.network_address), network.prefixlen, network.version == 4
    is_four = len(packed) == 4
    bits = int(length) if slash else len(packed) * 8
    if slash and is_four and ":" in address:  # ::ffff:10.0.0.0/104 is 10.0.0.0/8; a shorter one is more than IPv4
        if bits < _MAPPED_BITS:
            return int.from_bytes(_MAPPED + packed), bits, False
        bits -= _MAPPED_BITS
    if bits > len(packed) * 8:
        raise ValueError(f"'{text}' has a prefix longer than the address")
    return int.from_bytes(packed), bits, is_four


def _packed(address: str) -> bytes | None:
    """4 bytes of IPv4 (mapped ones too) or 16 of IPv6; None for what is no address. A zone (`%eth0`) does not count."""
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a NUL or what no encoding takes
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed
