"""A real PostgreSQL server, and a fresh database for each test. It refuses to run as root: then Debian's user postgres runs it."""

import contextlib
import getpass
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerError, ServerProcess, find_program

_PACKAGE = "postgresql"
_USER = "zhiyun"
_PASSWORD = "postgres-test-password"
_STARTS = 5  # the children of a killed server may hold its shared memory for a moment


@dataclass(frozen=True)
class PostgresDatabase:
    """Where one empty database is, and who may do everything in it."""

    host: str
    port: int
    user: str
    password: str
    database: str


class PostgresServer:
    """PostgreSQL on a loopback port, its data in a temporary folder that the server's own user may enter."""

    def __init__(self) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self.user = _USER
        self.password = _PASSWORD
        self._folder = Path(tempfile.mkdtemp(prefix="zhiyun-postgres-"))
        self._data = self._folder / "data"
        self._numbers = itertools.count(1)
        self._programs = _programs()
        self._as_user = _as_user()
        options = ["-D", str(self._data), "-k", str(self._folder), "-h", self.host, "-p", str(self.port)]
        argv = [*self._as_user, str(self._programs / "postgres"), *options, "-c", "wal_level=logical"]
        self._process = ServerProcess("postgres", argv, self._folder, self._is_ready)

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start the server, again on the same port and data after `kill`."""
        if not self._data.exists():
            self._lay_out_data()
        for attempt in range(_STARTS):
            try:
                self._process.start()
                return
            except ServerError:
                if attempt == _STARTS - 1:
                    raise
                time.sleep(0.3)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._process.kill()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fresh_database(self) -> PostgresDatabase:
        """Create an empty database with a name of its own; starts the server if a test left it killed."""
        self.start()
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return PostgresDatabase(self.host, self.port, self.user, self.password, name)

    def drop_database(self, name: str) -> None:
        if self._process.is_running:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as the administrator; what psql prints of its rows."""
        psql = [
            str(self._programs / "psql"),
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.host,
            "-p",
            str(self.port),
        ]
        environment = {**os.environ, "PGPASSWORD": self.password, "PGCLIENTENCODING": "UTF8"}
        command = [*psql, "-U", self.user, "-d", database, "-c", statement]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise ServerError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def _is_ready(self) -> bool:
        """Not the port: one that recovers after a kill takes connections and refuses them."""
        command = [str(self._programs / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0

    def _lay_out_data(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.password + "\n", encoding="utf-8")
        if self._as_user:
            owner = pwd.getpwnam("postgres")
            for path in (self._folder, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        options = [
            "-U",
            self.user,
            "--pwfile",
            str(password_file),
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
        command = [*self._as_user, str(self._programs / "initdb"), "-D", str(self._data), *options]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=60)


def _programs() -> Path:
    """Debian keeps them beside each other by version, not on the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(find_program("postgres", _PACKAGE)).resolve().parent


def _as_user() -> list[str]:
    if getpass.getuser() != "root":
        return []
    with contextlib.suppress(KeyError):
        pwd.getpwnam("postgres")
        return [find_program("setpriv", "util-linux"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    raise ServerError(f"there is no user postgres: install Debian's package {_PACKAGE}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL of this test worker; `postgres_database` gives an empty database to each test."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """An empty database in a running PostgreSQL, dropped after the test."""
    database = postgres_server.fresh_database()
    yield database
    postgres_server.drop_database(database.database)
