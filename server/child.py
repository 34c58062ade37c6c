"""What gateway and back-office processes share: settings from the supervisor, events to it, and when to end.

The supervisor writes the settings as one JSON line to standard input and keeps that pipe open: when it closes, the supervisor has
gone and the process drains and ends. Events go to standard output as JSON lines.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import structlog
import uvloop

from config.settings import Settings, from_json
from core.errors import PlatformError
from core.ids import new_id
from core.supervise import Tasks
from server import logs

_log = structlog.get_logger("server")
Main = Callable[["Child"], Awaitable[None]]


class Child:
    """A process's life: `stopping` is set when it should drain."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.stack = AsyncExitStack()
        self.tasks = Tasks(report)
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)

    async def message(self) -> dict[str, str]:
        """The next line that the supervisor sends after the settings."""
        message: dict[str, str] = msgspec.json.decode(await self.inbox.get(), type=dict[str, str])
        return message

    def ready(self, **facts: object) -> None:
        """Say so, and let the collector look no more at what lives as long as the process, nor at every batch of rows: it took a
        quarter of the time of a full load."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self.tell("ready", **facts)

    def tell(self, event: str, **facts: object) -> None:
        """One event to the supervisor, such as ready or job."""
        sys.stdout.buffer.write(msgspec.json.encode({"event": event, **facts}) + b"\n")
        sys.stdout.buffer.flush()


def report(task: str, error: BaseException) -> None:
    """A background task has failed; told with an id that an operator can search for."""
    exc = (type(error), error, error.__traceback__)
    detail = error.detail if isinstance(error, PlatformError) else repr(error)
    _log.error("task failed", task=task, error_id=new_id("err_"), detail=detail, exc_info=exc)


async def _run(main: Main, settings: Settings) -> int:
    child = Child(settings)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, child.stopping.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the supervisor decides the order
    await _watch_parent(child)
    try:
        async with child.stack:
            try:
                await main(child)
            finally:
                await child.tasks.close()  # before the parts they work on
    except PlatformError as error:
        child.tell("failed", detail=error.detail)
        return 1
    return 0


async def _watch_parent(child: Child) -> None:
    class Watch(asyncio.Protocol):
        def __init__(self) -> None:
            self._rest = b""

        def data_received(self, data: bytes) -> None:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                child.inbox.put_nowait(line)

        def connection_lost(self, exc: Exception | None) -> None:
            child.stopping.set()

        def eof_received(self) -> None:
            child.stopping.set()

    await asyncio.get_running_loop().connect_read_pipe(Watch, sys.stdin)


def _first_line() -> bytes:
    """Unbuffered, so that what follows stays in the pipe for the loop to read."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return bytes(line)


def run(main: Main, *, process: str) -> int:
    """The process's whole life; its exit status."""
    settings = from_json(_first_line().decode())
    logs.configure(settings.log_level, process=process)
    return uvloop.run(_run(main, settings))
