"""A host and port to listen on: `127.0.0.1:8080`, `[::1]:80`, `0.0.0.0:0` (any free port)."""

import ipaddress
import re

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")


class Address:
    """A value: compared and hashed by host and port, `str` gives the text back. IPv6 hosts are kept without brackets."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `host:port`. Raises ValueError that says what is missing."""
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"'{text}' is not an address; write host:port, such as 127.0.0.1:8080")
        if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65535 and len(port) <= 5):
            raise ValueError(f"'{port}' in '{text}' is not a port; it is a number from 0 to 65535")
        return cls(_host(host, text), int(port))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({self})"


def _host(host: str, text: str) -> str:
    if not host:
        raise ValueError(f"'{text}' has no host; write 0.0.0.0{text} to listen on every interface")
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], text)
    if ":" in host:
        raise ValueError(f"'{text}': an IPv6 address stands in brackets, such as [::1]:80")
    if not _HOST.fullmatch(host) or (host.replace(".", "").isdigit() and not _is_ipv4(host)):
        raise ValueError(f"'{host}' in '{text}' is neither a host name nor an IP address")
    return host


def _is_ipv4(host: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False


def _ipv6(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"'{host}' in '{text}' is not an IPv6 address") from None
