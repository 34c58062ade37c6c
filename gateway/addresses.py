"""Lists of networks (CIDR) that stay fast whatever their length: ranges in order, none touching another. Pure.

An address costs a look-up of its block and a bisection of what is in it, whatever the number of entries; a bounded memo answers
repeats with one look-up.
"""

import socket
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import ip_network

_MEMO_ENTRIES = 8192
_MAPPED = b"\0" * 10 + b"\xff\xff"  # ::ffff:0:0/96, an IPv4 caller as a dual-stack listener sees it (RFC 4291 §2.5.5.2)
_MAPPED_BITS = 96
_BLOCK_BITS_4, _BLOCK_BITS_6 = 16, 80  # blocks of /16 and of /48

_Ordered = tuple[list[int], list[int]]
"""First and last numbers of ranges in order."""


class _Ranges:
    """Ranges of numbers, none touching another. Those that fit in one block of 2**`block_bits` numbers are kept by block, so that
    most numbers meet a few ranges only; the wider ones together."""

    __slots__ = ("_block_bits", "_blocks", "_wide", "count")

    def __init__(self, ranges: list[tuple[int, int]], block_bits: int) -> None:
        self._block_bits = block_bits
        self._wide: _Ordered = ([], [])
        self._blocks: dict[int, _Ordered] = {}
        merged = _merged(ranges)
        self.count = len(merged)
        for first, last in merged:
            block = first >> block_bits
            firsts, lasts = self._blocks.setdefault(block, ([], [])) if block == last >> block_bits else self._wide
            firsts.append(first)
            lasts.append(last)

    def __contains__(self, number: int) -> bool:
        block = self._blocks.get(number >> self._block_bits)
        if block is not None:
            at = bisect_right(block[0], number)
            if at and number <= block[1][at - 1]:
                return True
        firsts, lasts = self._wide
        at = bisect_right(firsts, number)
        return at > 0 and number <= lasts[at - 1]


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order; those that overlap or touch are one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


class Networks:
    """A list of networks. `str` addresses are looked up; an address that is none (a socket without one) is in no list."""

    __slots__ = ("_four", "_memo", "_six")

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError for text that is no network or address. Host bits are ignored."""
        four: list[tuple[int, int]] = []
        six: list[tuple[int, int]] = []
        for text in networks:
            number, bits, is_four = _network(text)
            hosts = (1 << ((32 if is_four else 128) - bits)) - 1
            (four if is_four else six).append((number & ~hosts, number | hosts))
        self._four, self._six = _Ranges(four, _BLOCK_BITS_4), _Ranges(six, _BLOCK_BITS_6)
        self._memo: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._four.count or self._six.count)

    def __contains__(self, address: str) -> bool:
        known = self._memo.get(address)
        if known is not None:
            return known
        if len(self._memo) >= _MEMO_ENTRIES:
            self._memo.clear()  # cheaper than an order, and filled again in no time by those who call often
        found = self._memo[address] = self.has(address)
        return found

    def has(self, address: str) -> bool:
        """The same without the memo."""
        packed = _packed(address)
        if packed is None:
            return False
        return int.from_bytes(packed) in (self._four if len(packed) == 4 else self._six)


def _network(text: str) -> tuple[int, int, bool]:
    """The address as a number, the prefix length, and whether it is IPv4."""
    address, slash, length = text.partition("/")
    packed = _packed(address)
    if packed is None or "%" in text or not (length.isascii() and length.isdigit() if slash else True):
        network = ip_network(text, strict=False)  # netmasks and the like; raises ValueError in words a person understands
        return int(network.network_address), network.prefixlen, network.version == 4
    is_four = len(packed) == 4
    bits = int(length) if slash else len(packed) * 8
    if slash and is_four and ":" in address:  # ::ffff:10.0.0.0/104 is 10.0.0.0/8; a wider one is a network of IPv6, as ::/0 is
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
