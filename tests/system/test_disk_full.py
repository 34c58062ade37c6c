"""The disk of a node fills up: writes are refused in words, reads go on, nothing breaks; room returns and all goes on (issue 4).

The node's data lies on a small tmpfs, the sample's systems beside it: they are other people's machines.
"""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.system.node import Node, at_source, eventually, run_once, settings_for

_DISK = "64m"
_CUSTOMERS = tuple(f"K{number:07d}" for number in range(1, 41))
_MOST_WRITES = 4_000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def node(disk: Path, estate: Path) -> Iterator[Node]:
    elsewhere = disk.with_name("estate")
    elsewhere.mkdir()
    data = disk / "data"
    data.mkdir()
    (data / "estate").symlink_to(elsewhere)
    made = Node(settings_for(data), estate)
    made.log = disk.with_name("node.log")
    try:
        yield made.start()
    finally:
        made.kill()


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Nothing more fits, until this ends."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65_536)
    try:
        yield
    finally:
        ballast.unlink()


def _write(app: httpx.Client, customer: str, status: str, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key or uuid4().hex}
    return app.patch(f"/v1/customers/{customer}", json={"status": status}, headers=headers)


def test_writes_are_refused_and_go_on_when_room_returns(node: Node, disk: Path) -> None:
    accepted: dict[str, str] = {}
    with node.app() as app:
        with _filled(disk):
            refused = None
            for number in range(_MOST_WRITES):  # what SQLite's log had room for before still fits
                customer, status = _CUSTOMERS[number % len(_CUSTOMERS)], f"状态{uuid4().hex[:8]}"
                key = uuid4().hex
                answer = _write(app, customer, status, key)
                if answer.status_code != 200:
                    refused = answer
                    break
                accepted[customer] = status
            assert refused is not None, "the disk never filled"
            assert refused.status_code == 503, refused.text
            problem = refused.json()
            assert problem["code"] == "disk_full", problem
            assert "Traceback" not in refused.text
            assert str(disk) not in refused.text, "where a node keeps its data is nobody's business"
            read = app.get(f"/v1/customers/{_CUSTOMERS[0]}")
            assert read.status_code == 200, read.text
            assert accepted.get(_CUSTOMERS[0], read.json()["status"]) == read.json()["status"]
        eventually("the same write is taken", lambda: _write(app, customer, status, key).status_code == 200)
        accepted[customer] = status
        for each, expected in accepted.items():
            assert at_source(node, "sales", "SELECT Status FROM Customer WHERE CustomerID = ?", each) == [(expected,)]
            eventually(f"{each} is mirrored", partial(_has, app, each, expected))
    _is_whole(node)


def test_a_load_fails_in_words_and_is_complete_afterwards(node: Node, disk: Path) -> None:
    at_source(
        node, "sales", "UPDATE FollowUp SET Content = Content || ' ' || hex(randomblob(600)), UpdatedAt = '2025-01-01 08:00:00.000'"
    )
    ((rows,),) = at_source(node, "sales", "SELECT count(*) FROM FollowUp")
    with node.operator() as operator, node.app() as app:
        with _filled(disk):
            eventually("the node is full", lambda: "disk_full" in _runs_text(operator) or "full" in node.output(), within_s=90)
            assert app.get("/v1/customers?limit=3").status_code == 200
        eventually(
            "the load ends well", lambda: run_once(operator, "follow-ups")["state"] in ("succeeded", "partial"), within_s=120
        )
        with closing(sqlite3.connect(f"file:{node.folder}/mirror.db?mode=ro", uri=True)) as mirror:
            sql = "SELECT count(*), count(DISTINCT follow_up_id) FROM mirror_sales__follow_ups WHERE _deleted = 0"
            eventually("mirror = source", lambda: mirror.execute(sql).fetchone() == (rows, rows))
    _is_whole(node)


def _runs_text(operator: httpx.Client) -> str:
    operator.post("/jobs/follow-ups/run")
    return operator.get("/jobs/follow-ups/runs").text


def _has(app: httpx.Client, customer: str, status: str) -> bool:
    return bool(app.get(f"/v1/customers/{customer}").json()["status"] == status)


def _is_whole(node: Node) -> None:
    """Each of the node's files is a sound database."""
    node.stop()
    found = sorted(node.folder.glob("*.db"))
    assert found
    for path in found:
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path.name
