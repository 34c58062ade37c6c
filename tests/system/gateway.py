"""A node that is a gateway in front of one upstream: its platform, an app with its keys, and clients that call without a pause."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from config.address import Address
from tests.servers.ports import free_port
from tests.system.node import ROOT, Node, settings_for, settle
from tests.system.upstream import Upstream

PLAN = {"per_s": 100_000, "burst": 100_000}


@dataclass
class Login:
    """An app and what the platform has issued to it."""

    name: str
    key: str
    secret: str

    @property
    def api_key(self) -> dict[str, str]:
        return {"X-Api-Key": f"{self.key}.{self.secret}"}


class Gateway:
    """A node without a sample and one upstream (`one`) behind it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        metrics = Address("127.0.0.1", free_port())
        self.node = Node(settings_for(folder, **{"workers": 2, "metrics": metrics, **settings}))
        self.upstream = Upstream()
        self.trust: ssl.SSLContext | bool = True

    def start(self) -> "Gateway":
        self.upstream.start()
        self.node.start()
        self.apply(plans={"open": PLAN}, upstreams={"one": {"endpoints": [{"url": self.upstream.url}]}})
        return self

    def close(self) -> None:
        self.node.kill()
        self.upstream.kill()

    @property
    def url(self) -> str:
        return f"{'https' if self.node.settings.tls else 'http'}://{self.node.settings.http}"

    def apply(self, **sections: Any) -> None:
        """Make the registry hold these too, and wait until every worker runs it."""
        with self.node.operator() as operator:
            done = operator.post("/apply", json={"document": {"version": 1, **sections}})
            assert done.status_code == 200, done.text
        self.settle()

    def settle(self) -> None:
        """Until every worker has acknowledged the registry as it is."""
        settle(self.node, "gateway")

    def app(self, *routes: str, **sections: Any) -> Login:
        """An app that may call these routes. `sections` are applied with it; `app` in them says more of the app itself."""
        name = f"app-{uuid4().hex[:8]}"
        declared = {"plan": "open", "scopes": [f"{each}:call" for each in routes], **sections.pop("app", {})}
        with self.node.operator() as operator:
            done = operator.post("/apply", json={"document": {"version": 1, **sections, "apps": {name: declared}}})
            assert done.status_code == 200, done.text
            issued = operator.post(f"/apps/{name}/credentials").json()
        self.settle()
        return Login(name, issued["key"], issued["secret"])

    def token(self, login: Login, **form: str) -> str:
        """A fresh access token."""
        answer = httpx.post(
            f"{self.url}/oauth2/token", auth=(login.key, login.secret), data={"grant_type": "client_credentials", **form}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def get(self, path: str, login: Login | None = None, **request: Any) -> httpx.Response:
        """One request on a connection of its own."""
        return self.call("GET", path, login, **request)

    def call(self, method: str, path: str, login: Login | None = None, **request: Any) -> httpx.Response:
        headers = {**(login.api_key if login else {}), **request.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=20, verify=self.trust, **request)

    def on_each_worker(self, path: str, headers: dict[str, str]) -> list[httpx.Response]:
        """The same request on one new connection after another until every worker has answered some."""
        found: list[httpx.Response] = []
        workers: set[str] = set()
        while len(workers) < self.node.settings.workers:
            assert len(found) < 200, "the kernel shares connections out"
            found.append(self.get(path, headers=headers))
            workers.add(worker_of(found[-1]))
        return found

    def workers(self) -> list[int]:
        """Process ids."""
        return sorted(pid for pid, command in self.node.processes().items() if "server.gateway_process" in command)

    def cli(self, *words: str) -> str:
        """What the command line prints."""
        environment = {**os.environ, "ZHIYUN_DATA_DIR": str(self.node.folder)}
        command = [sys.executable, "-m", "cli", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def worker_of(answer: httpx.Response) -> str:
    """Which worker gave it."""
    return str(answer.headers["X-Request-Id"][:12])  # the first half of it is the worker's


@dataclass
class Tally:
    """What became of every request of a load: statuses, and failures by their kind and phase."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # connections that were never made

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + sum(self.failures.values())


class Load:
    """Keep-alive clients that call without a pause until `stop`; a connection that the gateway closes between two requests, having
    said so, is opened anew."""

    def __init__(self, gateway: Gateway, path: str, headers: dict[str, str], *, clients: int = 8, per_connection: int = 50) -> None:
        host, port = gateway.node.settings.http.host, gateway.node.settings.http.port
        self._place = (host, port)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{lines}".encode()
        self._clients, self._per_connection = clients, per_connection
        self.is_over = False
        self.tally = Tally()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.ensure_future(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def once(self) -> int:
        """One request on a connection of its own; its status."""
        reader, writer = await asyncio.open_connection(*self._place)
        await self._calls(reader, writer)
        writer.transport.abort()
        (status,) = self.tally.answers or [0]
        return status

    async def stop(self) -> Tally:
        self.is_over = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)
        return self.tally

    async def _client(self) -> None:
        while not self.is_over:
            try:
                reader, writer = await asyncio.open_connection(*self._place)
            except OSError:
                self.tally.refused += 1
                await asyncio.sleep(0.02)
                continue
            try:
                await self._calls(reader, writer)
            finally:
                writer.transport.abort()

    async def _calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(self._per_connection):
            is_last = self.is_over or number + 1 == self._per_connection
            try:
                writer.write(self._head + (b"Connection: close\r\n\r\n" if is_last else b"\r\n"))
                status, closes = await asyncio.wait_for(_answer(reader), 20)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                phase = "on a new connection" if number == 0 else "on an open one"
                self.tally.failures[f"{type(error).__name__} {phase}"] += 1
                return
            self.tally.answers[status] += 1
            if is_last or closes:
                return


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split()[1]), b"connection: close" in head
