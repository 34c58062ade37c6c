"""A real Redis server, without persistence."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerProcess, find_program


class RedisServer:
    """Redis on a loopback port. `kill` loses all keys: nothing is saved to disk."""

    def __init__(self, folder: Path) -> None:
        """Describe a server whose working folder is `folder`."""
        self.host = LOOPBACK
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        program = find_program("redis-server", "redis-server")
        place = ["--port", str(self.port), "--bind", LOOPBACK, "--dir", str(folder)]
        argv = [program, *place, "--save", "", "--appendonly", "no"]
        self._process = ServerProcess("redis-server", argv, folder, self._answers_ping)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._process.pid

    def start(self) -> None:
        """Start the server, again on the same port after `kill`."""
        self._process.start()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._process.kill()

    def flush(self) -> None:
        """Start the server if a test left it killed, and delete all keys."""
        self.start()
        self._command(b"FLUSHALL")

    def _answers_ping(self) -> bool:
        try:
            return self._command(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _command(self, line: bytes) -> bytes:
        with socket.create_connection((self.host, self.port), timeout=5) as connection:
            connection.sendall(line + b"\r\n")
            return connection.recv(64)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis server of this test worker; `redis_url` gives an empty one to each test."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a running Redis without any key in it."""
    redis_server.flush()
    return redis_server.url
