"""A real node for a benchmark: `zhiyun up` in a temporary folder on free ports, its processes, memory and end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT

_UP_S = 90.0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """A running node. `ready_s` is the time from the command to both ports ready."""

    def __init__(
        self, folder: Path, *, sample: bool, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.http, self.console = free_port(), free_port()
        command = [str(ROOT / "zhiyun"), "up", "--data-dir", str(folder)]
        command += ["--http", f"127.0.0.1:{self.http}", "--console", f"127.0.0.1:{self.console}"]
        command += [*(["--sample", "estate"] if sample else []), *options]
        started = time.perf_counter()
        self._log = (folder.parent / f"{folder.name}.log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, start_new_session=True, env={**os.environ, **(environment or {})}
        )
        self._wait_ready(started)
        self.ready_s = time.perf_counter() - started

    def _wait_ready(self, started: float) -> None:
        for port, path in ((self.http, "/healthz"), (self.console, "/readyz")):
            while not _is_up(port, path):
                if self.process.poll() is not None or time.perf_counter() - started > _UP_S:
                    raise RuntimeError(f"the node did not come up; see {self._log.name}")
                time.sleep(0.01)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the management API with the local operator's token; its JSON answer."""
        token = (self.folder / "operator.token").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.console, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return json.loads(text) if text else None

    def processes(self) -> dict[str, tuple[float, float]]:
        """Process → resident set and proportional share in MB (Pss counts a shared page once over all that share it)."""
        found = {}
        for pid in descendants(self.process.pid):
            found[f"{_name(pid)} ({pid})"] = _memory(pid)
        return found

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            status = self.process.wait()
        self._log.close()
        return status


@contextmanager
def running(
    folder: Path, *, sample: bool, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Node]:
    """A node for the length of the block; `options` of `zhiyun up`, `environment` on top of this process's."""
    node = Node(folder, sample=sample, options=options, environment=environment)
    try:
        yield node
    finally:
        node.stop()


def _is_up(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def descendants(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting.extend(children.get(current, []))
    return found


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    modules = [word for word in words if word.startswith(("server.", "examples."))]
    return modules[-1] if modules else Path(words[0]).name


def _memory(pid: int) -> tuple[float, float]:
    values = dict.fromkeys(("Rss:", "Pss:"), 0.0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key = line.split()[0]
        if key in values:
            values[key] = int(line.split()[1]) / 1024
    return values["Rss:"], values["Pss:"]
