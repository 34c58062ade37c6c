"""A real MariaDB server with row-based binary log, and a fresh database for each test."""

import getpass
import itertools
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerProcess, find_program

_PACKAGE = "mariadb-server"
_USER = "zhiyun"
_PASSWORD = "mariadb-test-password"


@dataclass(frozen=True)
class MariaDBDatabase:
    """Where one empty database is, and who may do everything in it."""

    host: str
    port: int
    user: str
    password: str
    database: str


class MariaDBServer:
    """MariaDB on a loopback port; its user may do everything, reading the binary log included."""

    def __init__(self, folder: Path) -> None:
        """Describe a server that keeps its data in `folder`; the data folder is laid out at the first `start`."""
        self.host = LOOPBACK
        self.port = free_port()
        self.user = _USER
        self.password = _PASSWORD
        self._data = folder / "data"
        self._socket = folder / "s.sock"
        self._numbers = itertools.count(1)
        self._install = find_program("mariadb-install-db", _PACKAGE)
        argv = [find_program("mariadbd", _PACKAGE), *self._options(folder)]
        self._process = ServerProcess("mariadbd", argv, folder, self._answers)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._process.pid

    def start(self) -> None:
        """Start the server, again on the same port and data after `kill`."""
        is_new = not self._data.exists()
        if is_new:
            self._lay_out_data()
        self._process.start()
        if is_new:
            self._create_user()

    def kill(self) -> None:
        """End the server with SIGKILL; committed rows survive, as InnoDB promises."""
        self._process.kill()

    def fresh_database(self) -> MariaDBDatabase:
        """Create an empty UTF-8 database with a name of its own; starts the server if a test left it killed."""
        self.start()
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        return MariaDBDatabase(self.host, self.port, self.user, self.password, name)

    def drop_database(self, name: str) -> None:
        """Drop a database that `fresh_database` made, if the server runs and still has it."""
        if self._process.is_running:
            self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def execute(self, *statements: str) -> None:
        """Run statements as the administrator, over the server's own socket file."""
        with (
            pymysql.connect(unix_socket=str(self._socket), user="root", connect_timeout=5) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    def _options(self, folder: Path) -> list[str]:
        binary_log = ["--server-id=1", f"--log-bin={self._data}/bin", "--binlog-format=ROW"]
        change_capture = ["--binlog-row-image=FULL", "--binlog-row-metadata=FULL"]
        files = [f"--datadir={self._data}", f"--tmpdir={folder}", f"--socket={self._socket}", f"--pid-file={folder}/pid"]
        address = [f"--bind-address={self.host}", f"--port={self.port}", "--skip-name-resolve"]
        size = ["--innodb-buffer-pool-size=32M"]
        return ["--no-defaults", f"--user={getpass.getuser()}", *files, *address, *binary_log, *change_capture, *size]

    def _lay_out_data(self) -> None:
        options = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={self._data}"]
        access = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        subprocess.run([self._install, *options, *access], check=True, capture_output=True, timeout=60)

    def _create_user(self) -> None:
        account = f"'{_USER}'@'%'"
        self.execute(
            f"CREATE USER {account} IDENTIFIED BY '{_PASSWORD}'",
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION",
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaves its socket open when it can't connect
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
        self.execute("SELECT 1")
        return True


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDBServer]:
    """A real MariaDB server of this test worker; `mariadb_database` gives an empty database to each test."""
    server = MariaDBServer(tmp_path_factory.mktemp("mariadb"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mariadb_database(mariadb_server: MariaDBServer) -> Iterator[MariaDBDatabase]:
    """An empty database in a running MariaDB, dropped after the test."""
    database = mariadb_server.fresh_database()
    yield database
    mariadb_server.drop_database(database.database)
