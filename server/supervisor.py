"""`zhiyun up`: starts the processes of a node, shows how far they are, restarts one that dies, and drains them at the end.

Kept lean on purpose: it lives as long as the node and imports no part of it.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import msgspec

from config.address import Address
from config.master_key import with_master_key
from config.settings import Settings, from_json, to_json
from core.errors import ConfigError, PlatformError, Unavailable
from server import banner
from server.estate import Estate, start_estate
from server.lean import lean_environment

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_READY_S = 60.0


class _Process:
    """One kind of child. Restarted with doubling pauses; a child that never came up once ends the node instead."""

    def __init__(
        self,
        name: str,
        command: list[str],
        settings: Settings,
        on_event: Callable[[str, dict[str, Any]], None],
        listening: socket.socket | None = None,
    ) -> None:
        self.name = name
        self.listening = listening
        self._command = [sys.executable, "-m", "server.lean", *command]
        self._settings = settings
        self._on_event = on_event
        self.first_message: dict[str, str] | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.failure = ""
        self.ending = asyncio.Event()

    async def start(self) -> None:
        if self.ending.is_set():
            return  # the node was told to end while it waited to start this anew
        shared = (self.listening.fileno(),) if self.listening is not None else ()
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            *map(str, shared),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=lean_environment(),
            pass_fds=shared,
        )
        await self._send(to_json(self._settings).encode())
        if self.first_message is not None:
            await self.tell(self.first_message)

    async def tell(self, message: dict[str, str]) -> None:
        """Said again to every restarted child."""
        self.first_message = message
        await self._send(msgspec.json.encode(message))

    async def _send(self, line: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
            await self.process.stdin.drain()
        except ConnectionError:
            return  # it has died already; the watch sees that

    async def watch(self) -> None:
        """Pass its events on until it ends; start it anew until the node ends. Raises Unavailable if it can't come up at all."""
        pause_s = _FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            await self._pass_events()
            assert self.process is not None
            status = await self.process.wait()
            if self.ending.is_set():
                return
            if not self.ready.is_set():
                raise Unavailable(
                    self.failure or f"{self.name} ended with status {status} before it was ready; see its lines above"
                )
            if time.monotonic() - started > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            banner.say(f"{self.name} ended (status {status}); started again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            await self.start()
            if self.ending.is_set() and self.process.returncode is None:  # the node began to end while this one was made
                self.process.terminate()

    async def _pass_events(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            try:
                event = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue  # a library wrote to standard output
            if event.get("event") == "failed":
                self.failure = str(event.get("detail", ""))
            if event.get("event") == "ready":
                self.ready.set()
            self._on_event(self.name, event)

    async def end(self, *, grace_s: float) -> None:
        """Ask it to drain, wait, and kill it if it does not end."""
        self.ending.set()
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            banner.say(f"{self.name} did not end within {grace_s:g} s and was killed")
            process.kill()
            await process.wait()


class Node:
    """All processes of a node and the order in which they start and end."""

    def __init__(self, settings: Settings, *, sample: bool) -> None:
        # The sample is for a person at a terminal: progress lines, and of the logs only what is wrong.
        is_chatty = sample and settings.log_level == "info"
        self._settings = settings = msgspec.structs.replace(settings, log_level="warning") if is_chatty else settings
        self._sample = sample
        self._stopping = asyncio.Event()
        self._started = time.monotonic()
        self._facts: dict[str, Any] = {}
        self._loaded = asyncio.Event()
        self._processes: list[_Process] = []
        self._estate: Estate | None = None
        self._progress = banner.Progress()
        if "back-office" in settings.roles:
            command = ["server.back_office", *(["--sample"] if sample else [])]
            self._processes.append(_Process("back office", command, settings, self._on_event))
            self._processes.append(_Process("deliveries", ["server.delivery_process"], settings, self._on_event))
        if "gateway" in settings.roles:
            for number in range(settings.workers):
                name = f"gateway {number}" if settings.workers > 1 else "gateway"
                command = ["server.gateway_process", str(number)]
                self._processes.append(_Process(name, command, settings, self._on_event, share(settings.http)))

    def _on_event(self, name: str, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "ready" and name == "back office":
            self._facts.update(event)
        elif kind == "job":
            self._progress.show(event)
        elif kind == "loaded":
            self._loaded.set()

    async def run(self) -> int:
        """The node's whole life; its exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        status = 0
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    await process.start()
                    group.create_task(process.watch(), name=process.name)
                group.create_task(self._live(), name="node")
        except* PlatformError as errors:
            details = [error.detail if isinstance(error, PlatformError) else str(error) for error in errors.exceptions]
            for detail in dict.fromkeys(details):  # what both kinds of process stumble over is told once
                print(f"zhiyun: {detail}", file=sys.stderr)
            status = 1
        finally:
            await self._end()
        return status

    async def _live(self) -> None:
        """Come up, then wait for the end."""
        coming = asyncio.ensure_future(self._come_up())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([coming, stopping], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                await coming
            await stopping
        finally:
            coming.cancel()
            stopping.cancel()
        banner.say("draining … 正在停止")
        await self._end()

    async def _come_up(self) -> None:
        if self._sample:
            self._estate = await start_estate(self._settings)
            banner.started("sample estate", "six foreign systems 六个外部系统", time.monotonic() - self._started)
            for process in self._processes:
                if process.name == "back office":
                    await process.tell(self._estate.variables)
        for process in self._processes:
            try:
                async with asyncio.timeout(_READY_S):
                    await process.ready.wait()
            except TimeoutError:
                raise Unavailable(f"{process.name} was not ready within {_READY_S:g} s; see its lines above") from None
            banner.started(process.name, _address(process.name, self._settings), time.monotonic() - self._started)
        if self._sample:
            with suppress(TimeoutError):  # a slow source loads on behind; the node is of use already
                async with asyncio.timeout(_READY_S):
                    await self._loaded.wait()
        banner.ready(self._settings, self._facts)

    async def _end(self) -> None:
        """Whoever publishes before whoever delivers, so that little is left on the bus; the sample's systems last."""
        grace_s = self._settings.drain_s + 5
        for process in self._processes:
            process.ending.set()  # a signal to the whole group ends them all at once: none is started again
            if process.listening is not None:
                process.listening.close()  # else who comes now would wait for an answer that nobody gives
        for order in ("gateway", "back office", "deliveries"):
            ending = [process for process in self._processes if process.name.startswith(order)]
            await asyncio.gather(*(process.end(grace_s=grace_s) for process in ending))
        if self._estate is not None and self._estate.process.returncode is None:
            self._estate.process.terminate()
            await self._estate.process.wait()


def _address(name: str, settings: Settings) -> str:
    if name.startswith("gateway"):
        return f"http://{settings.http}"
    return f"http://{settings.console}" if name == "back office" else "bus → mirror 总线到镜像"


def claim(address: Address, option: str) -> Address:
    """The address if nobody listens there (port 0: with a free port put in). ConfigError names the option to change."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            text = (
                f"{option} {address}: {error.strerror}; another program (or node) has it: stop it or choose another with {option}"
            )
            raise ConfigError(text, code="port_taken") from error
        return Address(address.host, probe.getsockname()[1])


def share(address: Address) -> socket.socket:
    """The listening socket of one worker (SO_REUSEPORT). The supervisor keeps it open: who comes while the worker is dead waits for
    the next one instead of being refused."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise ConfigError(f"--http {address}: {error.strerror}", code="port_taken") from error
    return sock


def lock(settings: Settings) -> IO[str]:
    """Held while the node lives: two nodes on one data folder would each believe to be alone."""
    path = settings.data_dir / "node.lock"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="ascii")
    except OSError as error:
        text = f"data folder {settings.data_dir}: {error.strerror}; choose another with --data-dir, or make it writable"
        raise ConfigError(text, code="data_dir") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        text = f"data folder {settings.data_dir}: another node is running on it; stop that one or choose another --data-dir"
        raise ConfigError(text, code="data_dir_in_use") from error
    return file


def main() -> int:
    """Settings from the environment variable that `zhiyun up` sets; they go no further than to the children's input."""
    os.umask(0o077)  # what a node writes holds people's data
    try:
        settings = from_json(os.environ.pop("ZHIYUN_SETTINGS_JSON", ""))
        with lock(settings):
            settings = with_master_key(settings)
            http, console = settings.http, settings.console
            if "gateway" in settings.roles:
                http = claim(http, "--http")
            if "back-office" in settings.roles:
                console = claim(console, "--console")
            public_url = settings.public_url
            if settings.http.port == 0 and public_url.endswith(":0"):  # worked out from an address whose port was open
                public_url = f"{public_url.removesuffix(':0')}:{http.port}"
            settings = msgspec.structs.replace(settings, http=http, console=console, public_url=public_url)
            return asyncio.run(Node(settings, sample="--sample" in sys.argv).run())
    except PlatformError as error:
        print(f"zhiyun: {error.detail}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
