"""A real SSH server (OpenSSH) with SFTP for the user of the tests, who logs in by a key."""

import getpass
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerProcess, accepts_connections, find_program

_PACKAGE = "openssh-server"


class SSHServer:
    """OpenSSH on a loopback port. `private_key` is what its one user logs in with, `host_key` its own fingerprint."""

    def __init__(self, folder: Path) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self.user = getpass.getuser()
        self.root = folder / "root"
        self.root.mkdir()
        host_key, key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.host_key = host_key.get_fingerprint()
        self.private_key = key.export_private_key().decode()
        files = {"host_key": host_key.export_private_key(), "authorized": key.export_public_key()}
        for name, content in files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        settings = folder / "sshd.conf"
        settings.write_text(_settings(folder, self.port))
        Path("/run/sshd").mkdir(exist_ok=True)  # its own folder for dropping privileges
        argv = [find_program("sshd", _PACKAGE), "-D", "-e", "-f", str(settings)]
        self._process = ServerProcess("sshd", argv, folder, lambda: accepts_connections(self.port))

    def start(self) -> None:
        self._process.start()

    def kill(self) -> None:
        """End the server with SIGKILL, and its sessions, which have left its process group."""
        sessions = _descendants(self._process.pid) if self._process.is_running else []
        self._process.kill()
        for pid in sessions:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """The processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        below = parents.get(left.pop(), [])
        found += below
        left += below
    return found


def _settings(folder: Path, port: int) -> str:
    return f"""\
Port {port}
ListenAddress {LOOPBACK}
HostKey {folder}/host_key
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server -d {folder}/root
"""


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    """A real SSH server of this test worker."""
    server = SSHServer(tmp_path_factory.mktemp("ssh"))
    server.start()
    yield server
    server.kill()
