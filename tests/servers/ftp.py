"""A real FTP server (ProFTPD) with explicit FTPS on the same port."""

import getpass
import grp
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.certificate import CertificateFiles, self_signed
from tests.servers.ports import free_port, free_port_range
from tests.servers.process import LOOPBACK, ServerError, ServerProcess, accepts_connections, find_program

_PACKAGE = "proftpd-core"
_TLS_PACKAGE = "proftpd-mod-crypto"
_TLS_MODULES = (Path("/usr/lib/proftpd/mod_tls.so"), Path("/usr/libexec/proftpd/mod_tls.so"))
_PASSIVE_PORTS = 40
_USER = "feeds"
_PASSWORD = "ftp-test-password"


class FTPServer:
    """ProFTPD on a loopback port: plain FTP, and TLS for a client that asks for it with AUTH TLS."""

    def __init__(self, folder: Path) -> None:
        """Describe a server whose user sees `folder`/root as its root folder."""
        self.host = LOOPBACK
        self.port = free_port()
        self.user = _USER
        self.password = _PASSWORD
        self.root = folder / "root"
        self.root.mkdir()
        self.certificate = self_signed(folder)
        program = find_program("proftpd", _PACKAGE)
        accounts = self._write_accounts(folder)
        settings = folder / "proftpd.conf"
        settings.write_text(_settings(folder, self.port, accounts, self.certificate))
        argv = [program, "--nodaemon", "-c", str(settings)]
        self._process = ServerProcess("proftpd", argv, folder, lambda: accepts_connections(self.port))

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._process.pid

    def start(self) -> None:
        """Start the server, again on the same port and folder after `kill`."""
        self._process.start()

    def kill(self) -> None:
        """End the server and its open sessions with SIGKILL."""
        self._process.kill()

    def _write_accounts(self, folder: Path) -> Path:
        accounts = folder / "accounts"
        owner = [f"--uid={os.getuid()}", f"--gid={os.getgid()}", f"--home={self.root}", "--shell=/bin/sh"]
        command = [find_program("ftpasswd", _PACKAGE), "--passwd", "--stdin", f"--file={accounts}", f"--name={_USER}"]
        subprocess.run([*command, *owner], input=_PASSWORD + "\n", text=True, check=True, capture_output=True)
        return accounts


def _tls_module_folder() -> Path:
    for module in _TLS_MODULES:
        if module.exists():
            return module.parent
    raise ServerError(f"ProFTPD has no TLS module: install Debian's package {_TLS_PACKAGE}")


def _settings(folder: Path, port: int, accounts: Path, tls: CertificateFiles) -> str:
    first_passive = free_port_range(_PASSIVE_PORTS)
    return f"""\
ModulePath {_tls_module_folder()}
LoadModule mod_tls.c
ServerType standalone
DefaultAddress {LOOPBACK}
SocketBindTight on
UseIPv6 off
Port {port}
PassivePorts {first_passive} {first_passive + _PASSIVE_PORTS - 1}
User {getpass.getuser()}
Group {grp.getgrgid(os.getgid()).gr_name}
RootLogin on
RequireValidShell off
AuthUserFile {accounts}
AuthOrder mod_auth_file.c
DefaultRoot ~
AllowOverwrite on
AllowStoreRestart on
UseReverseDNS off
DelayEngine off
WtmpLog off
ScoreboardFile {folder}/scoreboard
PidFile {folder}/pid
SystemLog {folder}/system.log
TLSEngine on
TLSRequired off
TLSECCertificateFile {tls.certificate}
TLSECCertificateKeyFile {tls.key}
TLSOptions NoSessionReuseRequired
"""


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    """A real FTP server of this test worker; `ftp_root` gives its empty root folder to each test."""
    server = FTPServer(tmp_path_factory.mktemp("ftp"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def ftp_root(ftp_server: FTPServer) -> Path:
    """The root folder of the running FTP server, emptied; tests put files there directly or through the server."""
    ftp_server.start()
    for entry in ftp_server.root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return ftp_server.root
