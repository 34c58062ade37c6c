"""A transaction over two real databases, its process killed with SIGKILL at every durable write: complete or taken back, once."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.exchange.two_sources import AFTER, BEFORE, NAMES
from tests.servers.mariadb import MariaDBDatabase, MariaDBServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def databases(mariadb_server: MariaDBServer) -> Iterator[dict[str, MariaDBDatabase]]:
    made = {name: mariadb_server.fresh_database() for name in NAMES}
    yield made
    for each in made.values():
        mariadb_server.drop_database(each.database)


def _execute(database: MariaDBDatabase, *statements: str) -> list[Any]:
    place = {"host": database.host, "port": database.port, "database": database.database, "charset": "utf8mb4"}
    with closing(pymysql.connect(**place, user=database.user, password=database.password, autocommit=True)) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def _fill(databases: dict[str, MariaDBDatabase], *, refuses: bool) -> None:
    """`refuses`: the last step's new name breaks a rule of the database itself."""
    rule = ", CHECK (name <> 'changed')" if refuses else ""
    for name, database in databases.items():
        rows = ", ".join(f"({n}, '{name}{n}', 1)" for n in range(1, 4))
        _execute(
            database,
            "DROP TABLE IF EXISTS people",
            f"CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(20), changed INT DEFAULT 1{rule})",
            f"INSERT INTO people VALUES {rows}",
        )


def _state(databases: dict[str, MariaDBDatabase]) -> dict[str, dict[int, str]]:
    return {name: dict(_execute(database, "SELECT id, name FROM people")) for name, database in databases.items()}


def _process(folder: Path, databases: dict[str, MariaDBDatabase], **more: Any) -> subprocess.CompletedProcess[str]:
    sources = {
        name: {"host": each.host, "port": each.port, "database": each.database, "user": each.user, "password": each.password}
        for name, each in databases.items()
    }
    told = json.dumps({"folder": str(folder), "sources": sources, **more})
    command = [sys.executable, "-m", "tests.system.transaction_process", told]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.req("0.42")
@pytest.mark.parametrize("refuses", [False, True])
def test_killed_at_every_durable_write_it_is_complete_or_taken_back_once(
    tmp_path: Path, databases: dict[str, MariaDBDatabase], refuses: bool
) -> None:
    expected, kills = (BEFORE, "refused") if refuses else (AFTER, "done"), 0
    while True:
        _fill(databases, refuses=refuses)
        folder = tmp_path / str(kills)
        folder.mkdir()
        first = _process(folder, databases, kill_at=kills + 1)
        if first.returncode == 0:
            assert (_state(databases), first.stdout.split()[-1]) == expected
            break
        kills += 1
        assert first.returncode == -signal.SIGKILL, first.stderr
        second = _process(folder, databases)
        assert second.returncode == 0, second.stderr
        # Killed before it was accepted, the repetition is the first; else it finds what recovery made of it: one saga either way.
        assert second.stdout.split()[-1:] == [expected[1]], f"killed at {kills}: {second.stdout}{second.stderr}"
        assert second.stdout.count("saga ") == 1
        assert _state(databases) == expected[0], f"killed at {kills}"
    assert kills >= 18
