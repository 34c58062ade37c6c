"""An engine on a real socket with pipes of the test's own, and an upstream of raw bytes behind it."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from config.upstreams import Endpoint, Match, Route, Upstream
from core.supervise import Tasks
from gateway.http1.engine import Engine, Patience
from gateway.http1.forward import Forward
from gateway.http1.message import Request
from gateway.http1.outbound import close_idle
from gateway.http1.shadow import ShadowCopies
from gateway.listener import Listener, bind
from gateway.pipe import Pipe
from gateway.stage import Handler, Stage
from gateway.upstream.shadow import Shadowing
from gateway.upstream.upstream import Upstreams

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def report(task: str, error: BaseException) -> None:
    logging.getLogger("tests").error("%s has failed", task, exc_info=error)


class Rig:
    """`find` gives the pipe by the first segment of the path; `ended` are the requests that are over."""

    def __init__(self, patience: Patience, is_trusted: Callable[[str], bool]) -> None:
        self.tasks = Tasks(report)
        self.upstreams = Upstreams()
        self.pipes: dict[str, Pipe] = {}
        self.ended: list[Request] = []
        self.engine = Engine(
            self,
            spawn=lambda work, name: self.tasks.spawn(work, name=name),
            observers=(self.ended.append,),
            patience=patience,
            is_trusted=is_trusted,
        )
        self.listener = Listener(self.engine, self.tasks)
        self._servers: list[asyncio.Server] = []

    def find(self, request: Request) -> Pipe:
        return self.pipes.get(request.path.split("/")[1]) or self.pipes["*"]

    @property
    def port(self) -> int:
        return self.listener.port

    def serve(self, name: str, handler: Handler, stages: tuple[Stage, ...] = (), **limits: Any) -> None:
        self.pipes[name] = Pipe(name, stages, handler=handler, **limits)

    async def upstream(self, serve: Serve, name: str = "up", **declared: Any) -> int:
        """A raw server; its port. Each connection is a call of `serve`."""
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        port = int(server.sockets[0].getsockname()[1])
        self.declare(name, f"http://127.0.0.1:{port}", **declared)
        return port

    def declare(self, name: str, *urls: str, **declared: Any) -> None:
        known = {each.name: each.declared for each in self.upstreams._states.values()}
        known[name] = Upstream(endpoints=tuple(Endpoint(url=url) for url in urls), **declared)
        for endpoint in self.upstreams.reload(known):
            close_idle(endpoint, before=math.inf)

    def route(self, name: str, stages: tuple[Stage, ...] = (), *, limits: dict[str, Any] | None = None, **declared: Any) -> None:
        route = Route(match=Match(path="/{rest...}"), **{"upstream": "up", **declared})
        shadow = ShadowCopies(Shadowing(route.shadow), self.upstreams) if route.shadow is not None else None
        proxy = Forward(name, route, self.upstreams, shadow)
        self.pipes[name] = Pipe(name, stages, kind="route", proxy=proxy, **{"max_body_bytes": 1 << 30, **(limits or {})})

    async def exchange(self, data: bytes, *, wait_s: float = 60.0, is_half: bool = False) -> bytes:
        """Send and read all that comes until the listener closes. `is_half`: close our end after sending."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if is_half:
                writer.write_eof()
            async with asyncio.timeout(wait_s):
                return await reader.read()
        finally:
            writer.close()

    async def close(self) -> None:
        await self.listener.close(2.0)
        for server in self._servers:
            server.close()
        for state in self.upstreams._states.values():
            for endpoint in state.endpoints:
                close_idle(endpoint, before=math.inf)
        await self.tasks.close()
        await asyncio.sleep(0.01)  # a transport that was closed or aborted closes its socket in the loop's next turn


@asynccontextmanager
async def rigged(patience: Patience | None = None, is_trusted: Callable[[str], bool] = lambda _: False) -> AsyncIterator[Rig]:
    rig = Rig(patience or Patience(), is_trusted)
    await rig.listener.start(bind("127.0.0.1", 0))
    try:
        yield rig
    finally:
        await rig.close()


def closing(head: bytes, body: bytes = b"") -> bytes:
    """The head's lines, with Host and the wish that the connection ends after the answer."""
    return head + b"\r\nHost: x\r\nConnection: close\r\n\r\n" + body


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request as an upstream gets it: its head and its body as framed. Raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            body += await reader.readuntil(b"\r\n")
        return head, body
    length = 0
    for line in lower.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


async def serve_requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[bytes, bytes], Awaitable[bool]]
) -> None:
    """Give each request of a connection to `answer` until that says False or the other side ends it; then close."""
    try:
        while await answer(*await read_request(reader)):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def until(is_so: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110  # the other side is a real socket
            await asyncio.sleep(0.01)
