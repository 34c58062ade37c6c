"""Where the gateway listens: the socket, TLS with its certificates, the PROXY protocol, and the end of it.

The connections it makes are `gateway.http1.inbound`'s.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import structlog

from core.errors import NotConnected
from core.supervise import Tasks
from gateway.certificates import Certificates
from gateway.http1.engine import Engine
from gateway.http1.inbound import Inbound
from gateway.http1.proxy_protocol import MAX_V2, parse
from gateway.http1.refused import Refused

_log = structlog.get_logger("gateway.listener")
BACKLOG = 4096
_HANDSHAKE_S, _SHUTDOWN_S = 10.0, 2.0
_FRONT_S = 5.0  # for a PROXY line to come
_ACCEPTED_S = 0.05  # for connections accepted just before the end to become known to the engine
_PAUSE_S = 0.1
_FRONTS = 1024  # connections that are still waiting for it


class Listener:
    """Serves one address with the engine. `certificates` None: without TLS. `expects_proxy(address)` tells from whom a connection
    begins with a PROXY header (v1 or v2); from others it must not, and is served as it is."""

    def __init__(
        self,
        engine: Engine,
        tasks: Tasks,
        *,
        certificates: Certificates | None = None,
        expects_proxy: Callable[[str], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._tasks = tasks
        self._certificates = certificates
        self._expects_proxy = expects_proxy
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[Any] | None = None
        self._socket: socket.socket | None = None
        self._fronts = 0
        self.port = 0

    async def start(self, sock: socket.socket) -> None:
        """Listen on a bound socket."""
        sock.setblocking(False)
        self.port = sock.getsockname()[1]
        self._socket = sock
        if self._expects_proxy is None:
            await self._serve(sock)
        else:
            sock.listen(BACKLOG)
            self._accepting = self._tasks.keep(lambda: self._accept(sock), name="accept")

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        tls = self._certificates.context if self._certificates is not None else None
        limits: dict[str, float] = (
            {} if tls is None else {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _SHUTDOWN_S}
        )
        engine = self._engine
        self._server = await loop.create_server(
            cast(Any, lambda: Inbound(engine)), sock=sock, ssl=tls, backlog=BACKLOG, start_serving=True, **cast(Any, limits)
        )

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._take(*await loop.sock_accept(sock))
            except OSError as error:  # no file descriptor is left, most likely
                _log.warning("a connection can't be accepted now", error=str(error))
                await asyncio.sleep(_PAUSE_S)

    def _take(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._fronts >= _FRONTS:
            connection.close()
            return
        self._fronts += 1
        self._tasks.spawn(self._front(connection, peer[0]), name="front")

    async def _front(self, connection: socket.socket, peer: str) -> None:
        """Take the PROXY header off the socket, byte by byte no more than it: TLS may begin right after it."""
        is_handed_on = False
        try:
            remote = peer
            if self._expects_proxy is not None and self._expects_proxy(peer):
                async with asyncio.timeout(_FRONT_S):
                    remote = await _source(connection) or peer
            tls = self._certificates.context if self._certificates is not None else None
            limit = {} if tls is None else {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _SHUTDOWN_S}
            engine = self._engine
            loop = asyncio.get_running_loop()
            make = cast(Any, lambda: Inbound(engine, remote))
            await loop.connect_accepted_socket(make, connection, ssl=tls, **cast(Any, limit))
            is_handed_on = True
        except (Refused, NotConnected, TimeoutError, OSError) as error:
            _log.debug("a connection without a good PROXY header", peer=peer, error=str(error))
        finally:
            self._fronts -= 1
            if not is_handed_on:
                connection.close()

    async def close(self, grace_s: float) -> None:
        """Drain: stop accepting, let what has begun end, cut what is left after `grace_s` seconds."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._take_waiting()
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        await asyncio.sleep(_ACCEPTED_S)
        await self._engine.drain(grace_s)

    def _take_waiting(self) -> None:
        """Whom the kernel has let in and we have not yet: with the listening socket they would be cut off."""
        if self._socket is None:
            return
        with suppress(OSError):  # BlockingIOError: there are no more
            while True:
                self._take(*self._socket.accept())


async def _source(connection: socket.socket) -> str | None:
    """The caller's address as the PROXY header tells it; None where it tells none (LOCAL, UNKNOWN). Raises Refused."""
    loop = asyncio.get_running_loop()
    seen = 0
    while True:
        data = connection.recv(MAX_V2, socket.MSG_PEEK) if seen else await _first(connection)
        found = parse(data)
        if found is not None:
            consumed, peer = found
            await loop.sock_recv(connection, consumed)
            return peer.address if peer is not None else None
        if len(data) == seen:
            await asyncio.sleep(0.01)  # what is peeked at stays readable: there is no event to wait for
        seen = len(data)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _first(connection: socket.socket) -> bytes:
    """Wait for the first bytes and look at them."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection)
    data = connection.recv(MAX_V2, socket.MSG_PEEK)
    if not data:
        raise NotConnected("closed before the PROXY header") from None
    return data


def bind(host: str, port: int) -> socket.socket:
    """A socket that the workers of a node may share (SO_REUSEPORT). Raises NotConnected, naming the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: without it the loop leaves Nagle's algorithm on.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise NotConnected(f"{host}:{port}: {error.strerror or error}") from error
    return sock
