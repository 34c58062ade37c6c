"""A real SOAP service in PHP (soap_members/): members of a loyalty programme, read by page and written one by one."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerError, ServerProcess, accepts_connections, find_program

_SOURCE = Path(__file__).parent / "soap_members"
_SEEDED_MEMBERS = 25
_LEVELS = ("普通", "银卡", "金卡")


class Member(TypedDict):
    """One member as the service keeps it."""

    memberId: str
    name: str
    mobile: str
    level: str
    points: int
    updatedAt: str


def seeded_members() -> list[Member]:
    """Return the members that the service starts with, in the order of their ids."""
    return [_seeded_member(number) for number in range(1, _SEEDED_MEMBERS + 1)]


def _seeded_member(number: int) -> Member:
    return {
        "memberId": f"M{number:04}",
        "name": f"会员{number}",
        "mobile": f"1380000{number:04}",
        "level": _LEVELS[number % len(_LEVELS)],
        "points": number * 10,
        "updatedAt": f"2024-05-{number:02}T08:00:00+08:00",
    }


def _require_soap_extension(php: str) -> None:
    modules = subprocess.run([php, "-m"], check=True, capture_output=True, text=True, timeout=30).stdout.split()
    if "soap" not in modules:
        raise ServerError("PHP has no SOAP extension: install Debian's package php-soap, or run tools/ensure_servers.py")


class PHPSOAPServer:
    """PHP's own web server with a SoapServer behind it; what is put survives `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        """Describe a service that keeps its members in `folder`/members.json."""
        self.host = LOOPBACK
        self.port = free_port()
        self.endpoint = f"http://{LOOPBACK}:{self.port}/service.php"
        self.wsdl_url = f"{self.endpoint}?wsdl"
        self.store = folder / "members.json"
        document_root = folder / "public"
        document_root.mkdir()
        self._write_service(document_root)
        self.reset()
        options = ["-d", "soap.wsdl_cache_enabled=0", "-d", f"error_log={folder}/php.log", "-d", "display_errors=0"]
        place = ["-S", f"{LOOPBACK}:{self.port}", "-t", str(document_root)]
        php = find_program("php", "php-cli")
        _require_soap_extension(php)
        argv = [php, *options, *place]
        workers = {"PHP_CLI_SERVER_WORKERS": "4", "MEMBERS_STORE": str(self.store)}
        self._process = ServerProcess("php", argv, folder, lambda: accepts_connections(self.port), environment=workers)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._process.pid

    def start(self) -> None:
        """Start the service, again on the same port and members after `kill`."""
        self._process.start()

    def kill(self) -> None:
        """End the service and its workers with SIGKILL."""
        self._process.kill()

    def reset(self) -> None:
        """Put the members back as `seeded_members` lists them."""
        self.store.write_text(json.dumps({member["memberId"]: member for member in seeded_members()}))

    def members(self) -> dict[str, Member]:
        """Return what the service has stored, by member id."""
        stored: dict[str, Member] = json.loads(self.store.read_text())
        return stored

    def _write_service(self, document_root: Path) -> None:
        (document_root / "service.php").write_text((_SOURCE / "service.php").read_text())
        wsdl = (_SOURCE / "members.wsdl").read_text().replace("{endpoint}", self.endpoint)
        (document_root / "members.wsdl").write_text(wsdl)


@pytest.fixture(scope="session")
def _php_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PHPSOAPServer]:
    server = PHPSOAPServer(tmp_path_factory.mktemp("soap"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def php_soap_server(_php_process: PHPSOAPServer) -> PHPSOAPServer:
    """The running SOAP service of this test worker, with its members as they were seeded."""
    _php_process.start()
    _php_process.reset()
    return _php_process
