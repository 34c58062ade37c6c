"""What the connections of one worker share: the routes of the moment, limits of time and size, who is connected, the way out.

One loop, no locks. `sweep` is the only timer: it looks at every connection's deadline four times a second.
"""

import asyncio
import ipaddress
import math
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol

from gateway.http1.message import Request

SWEEP_S = 0.25
_RECHECKED = 32  # tunnels in one turn of the loop


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may take, in seconds, and how much it may hold."""

    head_s: float = 10.0  # from its first byte to the end of a head
    body_s: float = 30.0  # between two pieces of a body
    idle_s: float = 75.0  # between two requests
    write_s: float = 60.0  # without the reader taking anything
    linger_s: float = 2.0  # to read what a refused client still sends, so that it sees the answer
    held_bytes: int = 65_536  # read ahead of what is asked for, per connection
    connections: int = 65_536  # at once; more are closed as they come


class Finder(Protocol):
    """gateway.pipeline.Gateway."""

    def find(self, request: Request) -> Any:
        """The request's pipe. Raises PlatformError."""
        ...


Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class Engine:
    """`observers` are called with each request that ended, refused ones too. `is_trusted(address)` tells whose forwarding fields
    are believed. `spawn` is the supervised one. `count(name, label)` takes what is rare: failures and retries by upstream.
    `allowed_until(request)` says until when (epoch seconds) the tunnel of that request need not be asked about; 0: it must end."""

    def __init__(
        self,
        finder: Finder,
        *,
        spawn: Spawn,
        observers: tuple[Callable[[Request], None], ...] = (),
        is_trusted: Callable[[str], bool] = lambda _: False,
        patience: Patience = Patience(),  # immutable
        next_trace: Callable[[bytes], bytes] | None = None,
        count: Callable[[str, str], None] = lambda name, label: None,
        allowed_until: Callable[[Request], float] = lambda _: math.inf,
    ) -> None:
        self.finder = finder
        self.spawn = spawn
        self.observers = observers
        self.is_trusted = is_trusted
        self.patience = patience
        self.body_s, self.idle_s, self.write_s = patience.body_s, patience.idle_s, patience.write_s  # asked for each request
        self.next_trace = next_trace
        self.count = count
        self.allowed_until = allowed_until
        self.loop = asyncio.get_running_loop()
        self.connections: dict[Any, None] = {}  # every Inbound, in the order they came
        self.is_draining = False
        self.refused_connections = 0
        self.date = formatdate(usegmt=True).encode()
        self._prefix = os.urandom(6).hex()
        self._count = 0
        self._sweeper: asyncio.TimerHandle | None = self.loop.call_later(SWEEP_S, self._sweep)
        self._is_empty: asyncio.Future[None] | None = None

    def request_id(self) -> str:
        """One per request: unique over workers and restarts by its random front, over time by its count."""
        self._count += 1
        return f"{self._prefix}{self._count:08x}"

    def believe(self, request: Request, peer: str) -> None:
        """A trusted proxy is in front: who it says is calling is the nearest address that is no trusted proxy itself."""
        remote = peer
        for each in reversed(request.forwarded_for.decode("ascii", "replace").split(",")):
            try:
                remote = str(ipaddress.ip_address(each.strip()))
            except ValueError:
                break  # what is no address is nobody's: the nearest good one counts
            if not self.is_trusted(remote):
                break
        request.remote = remote
        if request.forwarded_proto in (b"http", b"https"):
            request.scheme = request.forwarded_proto.decode()
        request.request_id = request.request_id or self.request_id()

    def _sweep(self) -> None:
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)
        self.date = formatdate(usegmt=True).encode()
        now = time.monotonic()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.timed_out(now)

    def forget(self, connection: Any) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        if self._is_empty is not None and not self.connections and not self._is_empty.done():
            self._is_empty.set_result(None)

    def end_streams(self) -> None:
        """End every answer that goes on without end (server-sent events), properly: its reader comes again."""
        for connection in list(self.connections):
            connection.end_stream()

    def recheck(self, is_concerned: Callable[[Request], bool] = lambda _: True) -> None:
        """Close the tunnels that are not allowed any more, as far as they are concerned. A few in each turn of the loop: ten
        thousand tokens may have to be verified again, and requests must not wait for that."""
        found = [(each, each.tunnelled) for each in self.connections]
        self._recheck([connection for connection, request in found if request is not None and is_concerned(request)])

    def _recheck(self, waiting: list[Any]) -> None:
        for connection in waiting[-_RECHECKED:]:
            connection.recheck()
        del waiting[-_RECHECKED:]
        if waiting:
            self.loop.call_soon(self._recheck, waiting)

    async def drain(self, grace_s: float) -> None:
        """Let what has begun end, close what is idle; after `grace_s` cut what is left. The listening sockets are closed before."""
        self.is_draining = True
        self.end_streams()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._is_empty = self.loop.create_future()
            try:
                async with asyncio.timeout(grace_s):
                    await self._is_empty
            except TimeoutError:
                for connection in list(self.connections):
                    connection.transport.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
