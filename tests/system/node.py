"""A whole node as its operator runs it: a process tree on a folder and two ports, an app's client and an operator's."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from config.address import Address
from config.settings import Settings, to_json
from tests.servers.ports import free_port
from tests.servers.process import running_pids

ROOT = Path(__file__).parents[2]
UP_S = 180.0
SOON_S = 15.0  # what the platform promises within a second, on a machine that is busy with something else
T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], *, within_s: float = 60.0) -> T:
    """The first true value that `look` gives. An answer that can't be had yet counts as not yet. The bound is for a slow and busy
    machine: it says nothing of how fast the platform is."""
    until = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < until:
        try:
            found = look()
        except httpx.HTTPError as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {within_s:g} s; last seen {last!r}")


def settings_for(folder: Path, **changed: Any) -> Settings:
    """A node of its own on free ports."""
    http, console = (Address("127.0.0.1", free_port()) for _ in range(2))
    given = {"data_dir": folder, "http": http, "console": console, "public_url": f"http://{http}", "drain_s": 3.0}
    return Settings(**{**given, **changed})


class Node:
    """`start` after `kill` or `stop` brings the same node back, on the same ports and data."""

    def __init__(self, settings: Settings, estate: Path | None = None) -> None:
        self.settings = settings
        self.folder = settings.data_dir
        self.is_sample = estate is not None
        self.log = self.folder.with_name(self.folder.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None
        if estate is not None:
            shutil.copytree(estate, self.folder / "estate" / "data")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def begin(self) -> None:
        """Start it and wait for nothing."""
        command = [sys.executable, "-m", "server.supervisor", *(["--sample"] if self.is_sample else [])]
        environment = {**os.environ, "ZHIYUN_SETTINGS_JSON": to_json(self.settings)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        running_pids.add(self._process.pid)

    def start(self) -> "Node":
        """Start it and wait for its last line of welcome."""
        self.begin()
        self.wait_for("is ready")
        return self

    def wait_for(self, words: str, *, within_s: float = UP_S) -> None:
        """Until it has printed these words."""
        assert self._process is not None
        until = time.monotonic() + within_s
        while words not in self.output():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"no {words!r} within {within_s:g} s:\n{self.output()[-3000:]}")
            time.sleep(0.05)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, *, within_s: float = 60.0) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None
        status = self._process.wait(within_s)
        running_pids.discard(self._process.pid)
        return status

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        os.kill(self.pid, number)
        return self.wait()

    def kill(self) -> None:
        """All of its processes at once, as a power cut would."""
        if self._process is None or (self._process.poll() is not None and not self.processes()):
            return
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        eventually("all processes are gone", lambda: not self.processes())

    def processes(self) -> dict[int, str]:
        """What lives of its process group: id → command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (command := _member(int(entry.name), self.pid)):
                found[int(entry.name)] = command
        return found

    def process(self, module: str) -> int:
        """The id of the child that runs this module."""
        return next(pid for pid, command in self.processes().items() if f"server.lean\0{module}" in command)

    @contextmanager
    def operator(self) -> Iterator[httpx.Client]:
        """The management API, as the local command line calls it."""
        token = (self.folder / "operator.token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://{self.settings.console}/api/v1", headers=headers, timeout=20) as client:
            yield client

    @contextmanager
    def app(self, login: tuple[str, str] | None = None) -> Iterator[httpx.Client]:
        """The gateway, as the sample's app (or another) calls it, with a fresh token."""
        with httpx.Client(base_url=f"http://{self.settings.http}", timeout=20) as client:
            answer = client.post("/oauth2/token", auth=login or credential_of(self), data={"grant_type": "client_credentials"})
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client


def settle(node: Node, *roles: str) -> None:
    """Until every process (of these roles) has acknowledged the registry as it is."""
    expected = {"gateway": node.settings.workers, "back-office": 1, "deliveries": 1}
    expected = {role: number for role, number in expected.items() if role in roles or not roles}
    with node.operator() as operator:

        def has_taken() -> bool:
            found = [each for each in operator.get("/nodes").json()["items"] if each["report"]["role"] in expected]
            return len(found) == sum(expected.values()) and all(each["is_live"] and each["is_current"] for each in found)

        eventually("every process has the new configuration", has_taken)


def at_source(node: Node, name: str, sql: str, *parameters: object) -> list[Any]:
    """A statement on one of the estate's own databases, as somebody at that system would make it."""
    with closing(sqlite3.connect(node.folder / "estate" / "data" / f"{name}.db", timeout=10)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def credential_of(node: Node) -> tuple[str, str]:
    """AppKey and AppSecret of the sample's app, as printed."""
    found = re.search(r"AppKey (\S+)\s+AppSecret (\S+)", node.output())
    assert found is not None
    return found[1], found[2]


def manifest_of(node: Node) -> dict[str, int]:
    """How many rows the estate was made with."""
    text = (node.folder / "estate" / "data" / "manifest.json").read_text()
    return dict(json.loads(text)["counts"])


def _member(pid: int, group: int) -> str | None:
    """The command line of a living process of this process group."""
    try:
        state, _, its_group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
        if int(its_group) != group or state == "Z":
            return None
        return Path(f"/proc/{pid}/cmdline").read_text() or None
    except (FileNotFoundError, ProcessLookupError):
        return None


def count(app: httpx.Client, service: str) -> int:
    """How many records an app sees, page by page."""
    total, target = 0, f"/v1/{service}?limit=1000"
    while True:
        answer = app.get(target)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        total += len(page["data"])
        if page["next_cursor"] is None:
            return total
        target = answer.links["next"]["url"]


def runs(operator: httpx.Client, job: str) -> list[dict[str, Any]]:
    """The job's runs, newest first."""
    found: list[dict[str, Any]] = operator.get(f"/jobs/{job}/runs").json()["items"]
    return found


def run_once(operator: httpx.Client, job: str, *, within_s: float = 60.0) -> dict[str, Any]:
    """Run a job now; the run that came of it, when it has ended."""
    before = {run["batch_id"] for run in runs(operator, job)}
    assert operator.post(f"/jobs/{job}/run").status_code == 202

    def ended() -> dict[str, Any] | None:
        return next((run for run in runs(operator, job) if run["batch_id"] not in before and run["state"] != "running"), None)

    found = eventually(f"job {job} has run", ended, within_s=within_s)
    assert found is not None
    return found


def changed(settings: Settings, **fields: Any) -> Settings:
    return msgspec.structs.replace(settings, **fields)
