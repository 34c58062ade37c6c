"""A real RabbitMQ broker with management and streams, and a fresh virtual host for each test.

The broker takes some seconds to start, so a run has one: tests that use it are put on the same test worker
(tests/conftest.py), which also keeps a test that kills it from hurting another one.
"""

import base64
import http.client
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerProcess, accepts_connections, find_program

_PACKAGE = "rabbitmq-server"
_NAMES_SAVED_AFTER_S = 1.0
_USER = _PASSWORD = "guest"  # the broker's own account for loopback connections
# Debian's /usr/sbin/rabbitmq-server changes the user with su; this one runs as whoever starts it.
_SCRIPT_FOLDER = Path("/usr/lib/rabbitmq/bin")
_PLUGINS = "rabbitmq_management,rabbitmq_stream,rabbitmq_stream_management,rabbitmq_consistent_hash_exchange"


@dataclass(frozen=True)
class RabbitMQAddresses:
    """The loopback ports of one broker."""

    amqp: int
    management: int
    stream: int
    distribution: int
    name_service: int

    @classmethod
    def free(cls) -> "RabbitMQAddresses":
        """Return ports that nothing listens on."""
        return cls(*(free_port() for _ in range(5)))


class RabbitMQBroker:
    """RabbitMQ on loopback ports; durable queues and streams survive `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        """Describe a broker that keeps everything it writes in `folder`."""
        self.host = LOOPBACK
        self.ports = RabbitMQAddresses.free()
        self.url = self.url_of("%2F")
        self._numbers = itertools.count(1)
        _write_settings(folder, self.ports)
        environment = _environment(folder, self.ports)
        # Started here, because a broker that finds no name service leaves one running in the background for ever.
        names = [find_program("epmd", "erlang-base"), "-port", str(self.ports.name_service), "-address", LOOPBACK]
        names_folder = folder / "epmd"
        names_folder.mkdir()
        self._names = ServerProcess("epmd", names, names_folder, lambda: accepts_connections(self.ports.name_service))
        broker = [find_program(str(_SCRIPT_FOLDER / "rabbitmq-server"), _PACKAGE)]
        self._process = ServerProcess(
            "rabbitmq-server", broker, folder, self._is_healthy, environment=environment, start_within_s=90
        )

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        return self._process.pid

    def url_of(self, vhost: str) -> str:
        """Return the AMQP URL of a virtual host (already percent-encoded)."""
        return f"amqp://{_USER}:{_PASSWORD}@{self.host}:{self.ports.amqp}/{vhost}"

    def start(self) -> None:
        """Start the broker, again on the same ports and data after `kill`."""
        self._names.start()
        self._process.start()

    def kill(self) -> None:
        """End the broker with SIGKILL; its name service goes on until `close`.

        Waits a second first: RabbitMQ 3.10 writes a new quorum queue's name to its table only after half a second
        without changes, and a lone broker killed before that comes back with the queue empty and without a leader.
        """
        time.sleep(_NAMES_SAVED_AFTER_S)
        self._process.kill()

    def close(self) -> None:
        """End the broker and its name service."""
        self._process.kill()
        self._names.kill()

    def fresh_vhost(self) -> str:
        """Create an empty virtual host and return its name; starts the broker if a test left it killed."""
        self.start()
        name = f"test-{next(self._numbers)}"
        self.management("PUT", f"/api/vhosts/{name}")
        self.management("PUT", f"/api/permissions/{name}/{_USER}", {"configure": ".*", "write": ".*", "read": ".*"})
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with its queues and connections, if the broker runs."""
        if self._process.is_running:
            self.management("DELETE", f"/api/vhosts/{name}")

    def management(self, method: str, path: str, body: object = None) -> object:
        """Call the management API; return the decoded answer, or None when it has no body.

        Raises `OSError` when the broker can't be reached or refuses the call.
        """
        credentials = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self.host, self.ports.management, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise OSError(f"RabbitMQ answered {method} {path} with {answer.status}: {content.decode(errors='replace')}")
        return json.loads(content) if content else None

    def _is_healthy(self) -> bool:
        if not accepts_connections(self.ports.amqp):
            return False
        try:
            self.management("GET", "/api/vhosts/%2F")
            self.management("GET", "/api/health/checks/local-alarms")
        except (OSError, http.client.HTTPException):
            return False
        return accepts_connections(self.ports.stream)


def _write_settings(folder: Path, ports: RabbitMQAddresses) -> None:
    (folder / "enabled_plugins").write_text(f"[{_PLUGINS}].\n")
    settings = {
        "listeners.tcp.1": f"{LOOPBACK}:{ports.amqp}",
        "management.tcp.ip": LOOPBACK,
        "management.tcp.port": ports.management,
        "stream.listeners.tcp.1": f"{LOOPBACK}:{ports.stream}",
        "stream.advertised_host": LOOPBACK,
        "stream.advertised_port": ports.stream,
        "log.console": "true",
        "log.file": "false",
    }
    (folder / "rabbitmq.conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def _environment(folder: Path, ports: RabbitMQAddresses) -> dict[str, str]:
    only_loopback = f"-setcookie c{ports.amqp} -kernel inet_dist_use_interface {{127,0,0,1}}"
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"t{ports.amqp}@localhost",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "ERL_EPMD_PORT": str(ports.name_service),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # the machine's own broker settings must not leak in
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": only_loopback,
    }


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQBroker]:
    """The real RabbitMQ broker of this run; `rabbitmq_url` gives an empty virtual host to each test."""
    broker = RabbitMQBroker(tmp_path_factory.mktemp("rabbitmq"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def rabbitmq_vhost(rabbitmq_server: RabbitMQBroker) -> Iterator[str]:
    """The name of an empty virtual host in the running broker, deleted after the test."""
    name = rabbitmq_server.fresh_vhost()
    yield name
    rabbitmq_server.delete_vhost(name)


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMQBroker, rabbitmq_vhost: str) -> str:
    """The AMQP URL of an empty virtual host in the running broker."""
    return rabbitmq_server.url_of(rabbitmq_vhost)
