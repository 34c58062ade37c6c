"""Latency of one keep-alive connection, one request after the other, over a bare socket: the client costs next to nothing."""

import socket
import time
from collections.abc import Iterable


def measure(port: int, requests: Iterable[bytes]) -> tuple[list[float], dict[str, int]]:
    """Seconds of each request, and how often each `X-Zhiyun-Tier` answered. RuntimeError for a status other than 200."""
    seconds: list[float] = []
    tiers: dict[str, int] = {}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            started = time.perf_counter()
            connection.sendall(request)
            head, body_length, received = _head(connection)
            while received < body_length:
                received += len(connection.recv(65536))
            seconds.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.split(b"\r\n", 1)[0].decode())
            tier = _field(head, b"x-zhiyun-tier")
            tiers[tier] = tiers.get(tier, 0) + 1
    return seconds, tiers


def _head(connection: socket.socket) -> tuple[bytes, int, int]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError("the gateway closed the connection")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, int(_field(head, b"content-length") or 0), len(rest)


def _field(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode()
    return ""


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
