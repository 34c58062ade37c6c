"""Active health checks: asks each endpoint of an upstream every few seconds, over a connection of its own."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

from config.upstreams import ActiveHealth, Tls
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.upstream import UpstreamState

Fetch = Callable[[EndpointState, str, float], Awaitable[int | None]]
"""(endpoint, path, timeout_s) → the status, None where there was no answer in time."""
_MAX_LINE = 1024
_AT_ONCE = 32  # probes of one upstream under way


async def probe_loop(
    upstream: UpstreamState,
    declared: ActiveHealth,
    fetch: Fetch,
    *,
    pause: Callable[[float], Awaitable[None]],
    report: Callable[[str], None],
) -> None:
    """For ever: each endpoint about every `every_s`. Says when one goes down or comes back."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def probe(endpoint: EndpointState) -> None:
        async with places:
            status = await fetch(endpoint, declared.path, declared.timeout_s)
        if endpoint in upstream.endpoints and upstream.probed(endpoint, status):
            said = f"answers {status}" if status is not None else "does not answer"
            report(
                f"upstream {upstream.name}: {endpoint.url} is {'down' if endpoint.is_down else 'up again'}: {declared.path} {said}"
            )

    while True:
        await asyncio.gather(*map(probe, upstream.endpoints))
        await pause(declared.every_s)


def http_fetch(tls: Tls, context_of: Callable[[Tls], ssl.SSLContext]) -> Fetch:
    """A plain GET that reads no more than the status line. A redirect is an answer like any other."""

    async def fetch(endpoint: EndpointState, path: str, timeout_s: float) -> int | None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await _status(endpoint, path, tls, context_of)
        return None

    return fetch


async def _status(endpoint: EndpointState, path: str, tls: Tls, context_of: Callable[[Tls], ssl.SSLContext]) -> int | None:
    context = context_of(tls) if endpoint.is_tls else None
    name = (tls.server_name or endpoint.server_name) if context is not None else None
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context, server_hostname=name, limit=_MAX_LINE)
    try:
        lines = b"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: zhiyun-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        writer.write(lines % (path.encode(), endpoint.authority))
        while True:
            version, _, rest = (await reader.readuntil(b"\n")).partition(b" ")
            if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
                return None
            if not rest.startswith(b"1"):  # 103 Early Hints and the like come before the answer
                return int(rest[:3])
            while await reader.readuntil(b"\n") not in (b"\r\n", b"\n"):
                pass
    finally:
        writer.transport.abort()  # nobody reads the rest
