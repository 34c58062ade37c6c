"""The estate as a program: its ready line, all six systems through real clients, kept ports, and how it ends."""

import importlib
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aioftp
import aiohttp
import mssql_python_odbc
import pymysql
import pytest
import requests
import zeep

from tests.servers.mariadb import MariaDBDatabase

pyodbc: Any = importlib.import_module("pyodbc")  # it has no types for mypy
CHECKOUT = Path(__file__).parents[2]
SMALL = ("--scale", "0.05")


@contextmanager
def estate(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running estate and its ready line; ended by SIGTERM, which must give exit status 0."""
    command = [sys.executable, "-m", "examples.estate", "--dir", str(folder), *SMALL, *options]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line and process.stderr is not None:
                pytest.fail(f"the estate did not start: {process.stderr.read()}")
            yield process, json.loads(line)
        finally:
            process.terminate()
            rest, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert rest == "", "exactly one line on stdout"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("estate-process")
    with estate(folder, "--sales-over", "tds") as (process, ready):
        assert ready["pid"] == process.pid
        yield {**ready, "folder": folder}


def mysql(variables: dict[str, str], system: str) -> pymysql.Connection:
    return pymysql.connect(
        host=variables[f"{system}_HOST"],
        port=int(variables[f"{system}_PORT"]),
        user=variables[f"{system}_USER"],
        password=variables[f"{system}_PASSWORD"],
        database=variables[f"{system}_DATABASE"],
        connect_timeout=10,
    )


def dsn(variables: dict[str, str]) -> str:
    libraries = Path(mssql_python_odbc.__file__).parent / "libs" / "linux" / "debian_ubuntu"
    driver = next(libraries.glob("*/lib/libmsodbcsql*"))
    place = f"SERVER={variables['SALES_HOST']},{variables['SALES_PORT']};DATABASE={variables['SALES_DATABASE']}"
    return f"DRIVER={driver};{place};UID={variables['SALES_USER']};PWD={{{variables['SALES_PASSWORD']}}};Encrypt=no"


def test_the_ready_line_names_every_variable(running: dict[str, Any]) -> None:
    names = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
    database = {f"{system}_{name}" for system in ("SALES", "PROPERTY") for name in names}
    files = {f"CALLCENTRE_{name}" for name in names[:4]}
    rest = {"MEMBER_WSDL", "MEMBER_USER", "MEMBER_PASSWORD", "BROKER_HOST", "BROKER_PORT", "MARKETING_URL", "MARKETING_KEY"}
    assert set(running["variables"]) == database | files | rest
    assert running["counts"]["customers"] == 100
    secrets = running["folder"] / "secrets.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert running["variables"]["SALES_PASSWORD"] in secrets.read_text()


@pytest.mark.req("0.46")
def test_sales_is_read_by_the_sql_server_driver(running: dict[str, Any]) -> None:
    with closing(pyodbc.connect(dsn(running["variables"]))) as connection:
        cursor = connection.cursor()
        (count,) = cursor.execute("SELECT COUNT(*) FROM dbo.Customer").fetchone()
        row = cursor.execute("SELECT TOP 1 * FROM dbo.Customer WHERE Budget IS NOT NULL ORDER BY CustomerID").fetchone()
        deal = cursor.execute("SELECT Amount, SignedOn, UpdatedAt FROM dbo.Deal WHERE DealID = ?", "D0000001").fetchone()
    assert count == 100
    assert row.CustomerID.startswith("K000")
    assert isinstance(row.Budget, Decimal)
    assert isinstance(row.CreatedOn, date)
    assert [type(value) for value in deal] == [Decimal, date, datetime]


@pytest.mark.req("0.46")
def test_property_is_read_by_a_mysql_driver(running: dict[str, Any]) -> None:
    with closing(mysql(running["variables"], "PROPERTY")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT owner_name, room_id, updated_at FROM owner WHERE owner_id = %s", ("O000001",))
        name, room, changed = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM room WHERE room_id = %s", (room,))
        assert cursor.fetchone() == (1,)
    assert re.search(r"[\u3400-\u9fff]", name)
    assert isinstance(changed, datetime)


@pytest.mark.req("0.46")
def test_member_is_called_by_a_soap_client(running: dict[str, Any]) -> None:
    variables = running["variables"]
    with requests.Session() as session:
        session.auth = (variables["MEMBER_USER"], variables["MEMBER_PASSWORD"])
        client = zeep.Client(variables["MEMBER_WSDL"], transport=zeep.Transport(session=session))
        page = client.service.ListMembers(pageSize=10)
    assert len(page.member) == 10


@pytest.mark.req("0.46")
async def test_the_file_the_feed_and_the_json_system_answer(running: dict[str, Any]) -> None:
    variables = running["variables"]
    login = (variables["CALLCENTRE_USER"], variables["CALLCENTRE_PASSWORD"])
    host, port = variables["CALLCENTRE_HOST"], int(variables["CALLCENTRE_PORT"])
    async with aioftp.Client.context(host, port, *login) as client:
        assert await client.exists("/daily/tickets_20240510.csv.done")
    with socket.create_connection((variables["BROKER_HOST"], int(variables["BROKER_PORT"])), timeout=5) as feed:
        feed.sendall(b"SUBSCRIBE 0\n")
        assert struct.unpack(">I", feed.recv(4, socket.MSG_WAITALL)) == (142,)
    headers = {"X-Api-Key": variables["MARKETING_KEY"]}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{variables['MARKETING_URL']}/api/events") as answer:
        assert len((await answer.json())["data"]) == 100


def test_a_second_estate_on_the_same_folder_is_refused(running: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "examples.estate", "--dir", str(running["folder"])]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is served by another estate already" in done.stderr


def test_it_drips_and_keeps_ports_secrets_and_changes_between_starts(tmp_path: Path) -> None:
    with estate(tmp_path, "--drip", "0.02", "--sales-over", "mysql") as (_, first):
        variables = first["variables"]
        with closing(mysql(variables, "SALES")) as connection, connection.cursor() as cursor:
            connection.autocommit(True)
            follow_ups, give_up_at = 0, time.monotonic() + 60
            while follow_ups < 3 and time.monotonic() < give_up_at:
                cursor.execute("SELECT count(*) FROM FollowUp WHERE UpdatedAt > %s", ("2025-01-01 00:00:00",))
                (follow_ups,) = cursor.fetchone()
        assert follow_ups >= 3
        with closing(mysql(variables, "PROPERTY")) as other:
            assert other.open
    with closing(sqlite3.connect(tmp_path / "data" / "sales.db")) as database:
        (before,) = database.execute("SELECT count(*) FROM FollowUp").fetchone()
    taken = int(variables["BROKER_PORT"])
    with socket.create_server(("127.0.0.1", taken)), estate(tmp_path, "--sales-over", "mysql") as (_, second):
        again = second["variables"]
        assert {name for name in again if again[name] != variables[name]} == {"BROKER_PORT"}
        with closing(mysql(again, "SALES")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM FollowUp")
            assert cursor.fetchone() == (before,)
    assert json.loads((tmp_path / "ports.json").read_text())["broker"] == int(again["BROKER_PORT"])


@pytest.mark.servers
def test_property_may_live_in_a_real_mariadb(mariadb_database: MariaDBDatabase, tmp_path: Path) -> None:
    database = mariadb_database
    url = f"mysql://{database.user}:{database.password}@{database.host}:{database.port}/{database.database}"
    with estate(tmp_path, "--mariadb", url, "--drip", "0.02") as (_, ready):
        variables = ready["variables"]
        assert variables["PROPERTY_PORT"] == str(database.port)
        with closing(mysql(variables, "PROPERTY")) as connection, connection.cursor() as cursor:
            connection.autocommit(True)
            changed, give_up_at = 0, time.monotonic() + 60
            while not changed and time.monotonic() < give_up_at:
                cursor.execute("SELECT count(*) FROM owner WHERE updated_at > '2025-01-01'")
                (changed,) = cursor.fetchone()
                time.sleep(0.05)
    assert changed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0_while_clients_are_connected(tmp_path: Path, number: signal.Signals) -> None:
    with estate(tmp_path) as (process, ready):
        variables = ready["variables"]
        feed = socket.create_connection((variables["BROKER_HOST"], int(variables["BROKER_PORT"])))
        with feed, closing(pyodbc.connect(dsn(variables))), closing(mysql(variables, "PROPERTY")):
            feed.sendall(b"SUBSCRIBE 0\n")
            process.send_signal(number)
            process.wait(timeout=60)
    assert process.returncode == 0


def test_it_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.estate", "--dir", str(tmp_path), *SMALL]
    parent = f"import subprocess, time\nsubprocess.Popen({command!r}, stderr=subprocess.DEVNULL)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = json.loads(process.stdout.readline())["pid"]
        process.kill()
    give_up_at = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether the process lives; one that has ended but was not waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mariadb", "http://x"), "--mariadb wants mysql://"),
        (("--sqlserver", "SERVER=h"), "it lacks UID, PWD, DATABASE"),
        (("--mariadb", "mysql://u:topsecret@127.0.0.1:1/d"), "property system in MariaDB at 127.0.0.1:1/d"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-m", "examples.estate", "--dir", str(tmp_path), *SMALL, *options]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr.splitlines()[-1]
    assert "topsecret" not in done.stderr
    assert "Traceback" not in done.stderr
