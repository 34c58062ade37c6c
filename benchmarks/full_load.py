"""Rows a second of a full load SQL → bus → mirror through a running node, from the start of the run to the last row mirrored."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.sqlserver_driver import OdbcConnection, Settings, load_pyodbc
from benchmarks import deals
from benchmarks.node import Node
from benchmarks.report import ROOT
from config.types import convert

_END_S = 120.0


@contextmanager
def sql_server(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The table behind the TDS protocol, in a process of its own; gives the source's declaration."""
    path = folder / "bench.db"
    deals.make_sqlite(path, count)
    command = [sys.executable, "-m", "benchmarks.deals", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            settings = {"host": "127.0.0.1", "port": int(process.stdout.readline()), "database": "bench", "encrypt": False}
            yield _source("sqlserver", settings | {"user": deals.USER, "password": deals.PASSWORD})
        finally:
            process.terminate()


@contextmanager
def mariadb(folder: Path, count: int) -> Iterator[dict[str, Any] | None]:
    """The table in a real MariaDB; None where none is installed."""
    if shutil.which("mariadbd") is None:
        yield None
        return
    from tests.servers.mariadb import MariaDBServer

    server = MariaDBServer(folder / "mariadb")
    server.start()
    try:
        made = server.fresh_database()
        deals.fill_mariadb(made.port, made.user, made.password, made.database, count)
        settings = {"host": made.host, "port": made.port, "database": made.database}
        yield _source("mysql", settings | {"user": made.user, "password": made.password})
    finally:
        server.kill()


def _source(adapter: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"adapter": adapter, "settings": settings, "datasets": {"deals": deals.dataset()}}


def bare_copy(folder: Path, source: dict[str, Any], count: int) -> float:
    """The peer: the same rows by the same driver straight into a SQLite table with the same indexes; rows a second."""
    settings = convert(source["settings"], Settings)
    load_pyodbc()
    connection = OdbcConnection(settings)
    names = ", ".join(name for name, *_ in deals.COLUMNS)
    target = sqlite3.connect(folder / "bare.db", isolation_level=None)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute(f"CREATE TABLE deal ({names}, PRIMARY KEY (deal_id))")
    target.execute("CREATE INDEX mobile ON deal (mobile)")
    started = time.perf_counter()
    cursor = connection.cursor().execute(f"SELECT {names} FROM deal ORDER BY deal_id")  # noqa: S608
    insert = f"INSERT INTO deal VALUES ({', '.join('?' * len(deals.COLUMNS))})"  # noqa: S608
    while rows := cursor.fetchmany(2000):
        target.execute("BEGIN")
        target.executemany(insert, [tuple(map(_plain, row)) for row in rows])
        target.execute("COMMIT")
    seconds = time.perf_counter() - started
    cursor.close()
    connection.close()
    target.close()
    return count / seconds


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value)


def load(node: Node, name: str, source: dict[str, Any], count: int) -> float:
    """Declare source and job, wait for the end; rows a second. RuntimeError where rows are missing at the end."""
    job = f"load-{name}"
    document = {
        "version": 1,
        "sources": {name: source},
        "jobs": {job: {"dataset": f"{name}.deals", "mode": "full", "schedule": {"once": True}}},
    }
    node.api("POST", "/apply", {"document": document})
    until = time.time() + _END_S
    while time.time() < until:
        runs = node.api("GET", f"/jobs/{job}/runs")["items"]
        if runs and runs[0]["state"] != "running" and not node.api("GET", "/bus")["depth"].get("mirror"):
            ended = time.time()
            if runs[0]["rows"] != count:
                raise RuntimeError(f"{job}: {runs[0]}")
            return count / (ended - float(runs[0]["started_ms"]) / 1000)
        time.sleep(0.02)
    raise RuntimeError(f"{job} did not end within {_END_S:g} s")
