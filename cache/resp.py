"""One raw connection to Redis (RESP2) for commands that are sent many at a time. Reconnects by itself; no queue while it is down.

For what is asked on the way of a request (limits, nonces, cached answers), which can't afford a driver's way of a command.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from core.errors import ConfigError, PlatformError, Unavailable
from core.supervise import Tasks

Done = Callable[[Any], None]
"""Called once with a command's reply: what Redis said, or an Unavailable."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_MAX_WAITING = 4096  # commands without a reply yet, each of many requests


def packed(*parts: bytes) -> bytes:
    """A command as RESP sends it: an array of bulk strings."""
    return b"*%d\r\n%b" % (len(parts), b"".join(bulk(part) for part in parts))


def bulk(part: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(part), part)


class RedisLink:
    """`prepare` are commands sent first on each new connection, before any other (SCRIPT LOAD). A reply that takes longer than
    `timeout_s` closes the connection: whether the commands under way were done is then not known."""

    def __init__(self, url: str, *, prepare: Sequence[bytes] = (), timeout_s: float = 0.5) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ConfigError("the URL of Redis must look like redis://host:6379/0 (or rediss:// for TLS)")
        self._host, self._port = parts.hostname, parts.port or 6379
        self.where = f"Redis at {self._host}:{self._port}"
        self._tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        self._greeting = [*_login(parts.username, parts.password, parts.path), *prepare]
        self._timeout_s = timeout_s
        self._tasks = Tasks(_unreported)
        self._connecting: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._is_closed = False
        self.cause = "not connected yet"

    @property
    def is_up(self) -> bool:
        return self._connection is not None

    def send(self, command: bytes, done: Done) -> None:
        """Never waits. While the link is down, or has too much under way, `done` is called with Unavailable at once."""
        connection = self._connection
        if connection is None:
            self.wake()
            done(Unavailable(f"{self.where}: {self.cause}"))
        elif len(connection.waiting) >= _MAX_WAITING:
            done(Unavailable(f"{self.where} is slower than what is asked of it"))
        else:
            connection.send(command, done)

    def wake(self) -> None:
        """Start to connect, unless it is being done."""
        if self._connection is None and self._connecting is None and not self._is_closed:
            self._connecting = self._tasks.spawn(self._connect(), name=f"connect to {self.where}")

    async def open(self) -> bool:
        """Wait for the first attempt; whether the link is up. It goes on trying by itself."""
        await self._attempt()
        self.wake()
        return self.is_up

    async def _connect(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._is_closed and not self.is_up:
                await self._attempt()
                if not self.is_up:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            self._connecting = None

    async def _attempt(self) -> None:
        loop = asyncio.get_running_loop()
        transport = None
        try:
            async with asyncio.timeout(self._timeout_s * 2):
                transport, protocol = await loop.create_connection(
                    lambda: _Connection(self, self._timeout_s), self._host, self._port, ssl=self._tls
                )
                for command in self._greeting:
                    await protocol.ask(command)
        except (OSError, PlatformError) as error:  # a timeout is an OSError
            self.cause = str(error) or type(error).__name__
            if transport is not None:
                transport.abort()
            return
        except asyncio.CancelledError:
            if transport is not None:
                transport.abort()
            raise
        if not protocol.is_lost and not self._is_closed:
            self._connection = protocol
        else:
            transport.abort()

    def lost(self, connection: "_Connection", cause: str) -> None:
        """For the connection, once."""
        if connection is self._connection:
            self._connection, self.cause = None, cause
            self.wake()

    async def close(self) -> None:
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end("closed", sends_the_rest=True)
            await asyncio.wait([connection.gone], timeout=self._timeout_s)
        await self._tasks.close()


class _Connection(asyncio.Protocol):
    """Replies go to the callbacks in the order of the commands."""

    def __init__(self, link: RedisLink, timeout_s: float) -> None:
        from hiredis import Reader, ReplyError  # loaded where Redis is used

        self._link = link
        self._timeout_s = timeout_s
        self._reader = Reader(replyError=ReplyError)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.waiting: deque[tuple[float, Done]] = deque()
        self.is_lost = False
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no sub-class of asyncio.Transport

    def send(self, command: bytes, done: Done) -> None:
        assert self._transport is not None
        self.waiting.append((self._loop.time() + self._timeout_s, done))
        self._transport.write(command)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check)

    async def ask(self, command: bytes) -> None:
        """One command, awaited; a reply that is an error is raised."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        if isinstance(reply, PlatformError):
            raise reply
        if isinstance(reply, Exception):
            raise Unavailable(f"{self._link.where} refused: {reply}")

    def data_received(self, data: bytes) -> None:
        from hiredis import HiredisError

        self._reader.feed(data)
        while self.waiting:
            try:
                reply = self._reader.gets()
            except HiredisError as error:
                self.end(f"sent what is no answer: {error}")
                return
            if reply is False:
                return
            self.waiting.popleft()[1](reply)

    def _check(self) -> None:
        """One timer for all commands: the oldest is the first that may be late."""
        self._timer = None
        if not self.waiting:
            return
        left_s = self.waiting[0][0] - self._loop.time()
        if left_s <= 0:
            self.end(f"no answer within {self._timeout_s:g} s")
        else:
            self._timer = self._loop.call_later(left_s, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc) if exc else "the connection was closed")
        if not self.gone.done():
            self.gone.set_result(None)

    def end(self, cause: str, *, sends_the_rest: bool = False) -> None:
        """Close, and tell all who wait."""
        if self.is_lost:
            return
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            (self._transport.close if sends_the_rest else self._transport.abort)()
        self._link.lost(self, cause)
        waiting, self.waiting = self.waiting, deque()
        for _, done in waiting:
            done(Unavailable(f"{self._link.where}: {cause}"))


def _login(user: str | None, password: str | None, path: str) -> list[bytes]:
    commands = []
    if password:
        names = [unquote(user).encode()] if user else []
        commands.append(packed(b"AUTH", *names, unquote(password).encode()))
    database = path.strip("/")
    if database and database != "0":
        if not database.isdigit():
            raise ConfigError("the path of Redis's URL is the number of a database, such as redis://host:6379/0")
        commands.append(packed(b"SELECT", database.encode()))
    return commands


def _unreported(task: str, error: BaseException) -> None:
    """Connecting keeps its failures in `cause`; each request that is not served tells it."""
