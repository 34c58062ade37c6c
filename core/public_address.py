"""Which IP addresses are public, for calls to addresses that others chose (SSRF). Pure: names are resolved by whoever connects.

Private, loopback, link-local (also a cloud's metadata service), shared (RFC 6598), documentation, multicast and reserved ones are
not (IANA's special-purpose registries, RFC 6890), nor is an IPv6 address that leads to such an IPv4 address.
"""

import ipaddress
from collections.abc import Sequence

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 §2.5.5.1, deprecated
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")  # RFC 3879, deprecated


def is_public(address: Ip) -> bool:
    """Whether the address is one of the open internet, and every IPv4 address inside it as well."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _COMPATIBLE or address in _SITE_LOCAL:
            return False
        if any(not is_public(each) for each in _inside(address)):
            return False
        if address in _NAT64 or address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_allowed(address: Ip, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks, also as an IPv4 address that is written as IPv6 (RFC 4291 §2.5.5.2)."""
    plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address
    return any(plain in network for network in networks)


def _inside(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a packet to it may end at: mapped, NAT64, 6to4 (RFC 3056), Teredo (RFC 4380)."""
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
