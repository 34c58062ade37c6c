"""One real server as a subprocess: found, started, waited for, killed and started again by process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers.guard import Guard

LOOPBACK = "127.0.0.1"
_POLL_S = 0.02
_KILL_WITHIN_S = 10.0
_LOG_TAIL_CHARACTERS = 2000

# Process ids of the servers that are meant to outlive a single test; the check for processes left behind leaves them out.
running_pids: set[int] = set()
_guard = Guard()


class ServerError(Exception):
    """A real server is missing or didn't start; the message names the Debian package or quotes the server's log."""


def find_program(name: str, package: str) -> str:
    """Return the path of a program; raise `ServerError` naming the Debian `package` when it is not installed."""
    # Debian keeps daemons in /usr/sbin, which an ordinary user's PATH leaves out.
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=search)
    if found is None:
        raise ServerError(f"{name} is not installed: install Debian's package {package}, or run tools/ensure_servers.py")
    return found


def accepts_connections(port: int) -> bool:
    """Say whether something on 127.0.0.1 accepts TCP connections at `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return False when nothing is left of the group."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


class ServerProcess:
    """A server in a process group of its own; port and data outlive `kill`, so `start` brings the same server back."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        folder: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        start_within_s: float = 30.0,
    ) -> None:
        """Describe the server; nothing runs before `start`. Its output goes to `folder`/output.log."""
        self.name = name
        self.log_path = folder / "output.log"
        self._argv = list(argv)
        self._folder = folder
        self._is_ready = is_ready
        self._environment = {**os.environ, **(environment or {})}
        self._start_within_s = start_within_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server; raises `ServerError` when it is not running."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running: call start() first")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it serves; raise `ServerError` with the end of its log when it does not."""
        if self.is_running:
            return
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C on pytest must not reach it before the tests that use it have ended
            )
        running_pids.update((self._process.pid, _guard.watch(self._process.pid)))
        self._wait_until_ready(self._process)

    def kill(self) -> None:
        """End the server and its children with SIGKILL, as a power cut would; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        give_up_at = time.monotonic() + _KILL_WITHIN_S
        # Its children are not ours to wait for, and a dying one may still hold the port for a moment.
        while _signal_group(process.pid, signal.SIGKILL):
            process.poll()
            if time.monotonic() > give_up_at:
                raise ServerError(f"{self.name}: process group {process.pid} outlives SIGKILL")
            time.sleep(_POLL_S)
        process.wait()
        _guard.forget(process.pid)
        running_pids.discard(process.pid)

    def log_tail(self) -> str:
        """Return the end of what the server printed."""
        return self.log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if self.log_path.exists() else ""

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + self._start_within_s
        while not self._is_ready():
            status = process.poll()
            if status is not None or time.monotonic() > give_up_at:
                what = f"did not serve within {self._start_within_s:g} s" if status is None else f"ended with {status}"
                self.kill()
                raise ServerError(f"{self.name} {what}; the end of its log:\n{self.log_tail()}")
            time.sleep(_POLL_S)
