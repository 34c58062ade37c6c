"""Whole loads through a running node, and calls through the SOAP adapter, for `benchmarks.exchange`.

The source is a real MariaDB, ProFTPD or PHP; the node is `zhiyun up` with its embedded parts.
"""

import csv
import io
import itertools
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any

import uvloop

from adapters.loader import load_adapters
from benchmarks import deals, full_load
from benchmarks.node import Node, running
from config.types import convert
from core.records import ChangeSet
from core.schema import Dataset
from storage.mirror import SqlMirror
from storage.mysql import open_mysql

_ENCODING = "gb18030"
_PIECE = 5_000
_NOTE = "客户来电咨询周边学校与交房时间，已约周末到访，请置业顾问提前一天电话确认并准备户型资料。" * 3


def mariadb_loads(folder: Path, counts: tuple[int, ...]) -> list[tuple[int, float, float]]:
    """For each count of rows, on a node of its own: the count, rows/s to the last row mirrored, the largest process (Pss, MB)."""
    found = []
    for count in counts:
        place = folder / str(count)
        place.mkdir()
        with full_load.mariadb(place, count) as source, running(place / "node", sample=False) as node:
            if source is None:
                raise RuntimeError("MariaDB is not installed (Debian: apt-get install mariadb-server)")
            rate = full_load.load(node, "mariadb", source, count)
            found.append((count, rate, _largest(node)))
    return found


def into_mariadb(folder: Path, count: int) -> tuple[float, float]:
    """Rows/s into the mirror on a MariaDB, new ones and then the same again as changed, 5,000 a change set."""
    from tests.servers.mariadb import MariaDBServer

    (folder / "mirror-mariadb").mkdir()
    server = MariaDBServer(folder / "mirror-mariadb")
    server.start()
    try:
        made = server.fresh_database()
        url = f"mysql://{made.user}:{made.password}@{made.host}:{made.port}/{made.database}"
        return uvloop.run(_into_mariadb(url, count))
    finally:
        server.kill()


async def _into_mariadb(url: str, count: int) -> tuple[float, float]:
    database = await open_mysql(url)
    mirror, dataset = SqlMirror(database), convert(deals.dataset(), Dataset)
    await mirror.prepare("bench.deals", dataset)
    rates = []
    for turn in (1, 2):
        rows: list[Any] = [[*row[:6], row[6] + turn, *row[7:9], bool(row[9]), *row[10:]] for row in deals.rows(count)]
        started = time.perf_counter()
        for at in range(0, count, _PIECE):
            await mirror.apply(ChangeSet("bench.deals", "upsert", dataset.columns, rows[at : at + _PIECE], turn))
        rates.append(count / (time.perf_counter() - started))
    await database.close()
    return rates[0], rates[1]


def _largest(node: Node) -> float:
    return max(pss for _, pss in node.processes().values())


def gbk_file(count: int) -> bytes:
    """The deals as a call centre drops them: CSV in GB18030, with what was said, about 370 bytes a row."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*(name for name, *_ in deals.COLUMNS), "note"])
    writer.writerows((*row, f"{_NOTE}{row[6]}") for row in deals.rows(count))
    return text.getvalue().encode(_ENCODING)


def ftp_load(folder: Path, count: int) -> tuple[float, float]:
    """MB of file a second from the start of the run to the last row mirrored; and the peer: csv and sqlite3 by hand from a local
    file."""
    from tests.servers.ftp import FTPServer

    data = gbk_file(count)
    (folder / "ftp").mkdir()
    server = FTPServer(folder / "ftp")
    (server.root / "deals.csv").write_bytes(data)
    server.start()
    try:
        settings = {"host": server.host, "port": server.port, "user": server.user, "password": server.password, "tls": "none"}
        declared = {**deals.dataset(), "object": "/deals.csv", "format": {"type": "csv", "encoding": _ENCODING}}
        declared["fields"]["note"] = "text"
        del declared["cursor"]
        source = {"adapter": "ftp", "settings": settings, "datasets": {"deals": declared}}
        with running(folder / "node-ftp", sample=False) as node:
            rate = full_load.load(node, "ftp", source, count)
    finally:
        server.kill()
    return rate / count * len(data) / 1e6, _by_hand(folder, data)


def _by_hand(folder: Path, data: bytes) -> float:
    """Megabytes a second of the same file into the same table, without bus, conversion or versions."""
    database = sqlite3.connect(folder / "by-hand.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"CREATE TABLE deal ({', '.join(name for name, *_ in deals.COLUMNS)}, note, PRIMARY KEY (deal_id))")
    database.execute("CREATE INDEX mobile ON deal (mobile)")
    insert = f"INSERT INTO deal VALUES ({', '.join('?' * (len(deals.COLUMNS) + 1))})"  # noqa: S608  # names of our own
    started = time.perf_counter()
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding=_ENCODING, newline=""))
    next(rows)
    while piece := list(itertools.islice(rows, 2_000)):
        database.execute("BEGIN")
        database.executemany(insert, piece)
        database.execute("COMMIT")
    seconds = time.perf_counter() - started
    database.close()
    return len(data) / seconds / 1e6


def soap_calls(folder: Path, *, calls: int, rounds: int) -> list[tuple[float, float]]:
    """Of each round milliseconds of client CPU a call, the adapter's and zeep's own transport's (with requests)."""
    from tests.servers.soap import PHPSOAPServer

    (folder / "php").mkdir()
    server = PHPSOAPServer(folder / "php")
    server.start()
    try:
        return uvloop.run(_soap(server.wsdl_url, calls, rounds))
    finally:
        server.kill()


async def _soap(wsdl: str, calls: int, rounds: int) -> list[tuple[float, float]]:
    import zeep

    adapter = load_adapters()["soap"]
    connection: Any = adapter.open(convert({"wsdl": wsdl}, adapter.settings))
    client = zeep.Client(wsdl)
    found = []
    for number in range(rounds + 1):
        started = time.process_time()
        for _ in range(calls):
            await connection.call("GetMember", {"memberId": "M0003"})
        ours = time.process_time() - started
        started = time.process_time()
        for _ in range(calls):
            client.service.GetMember(memberId="M0003")
        theirs = time.process_time() - started
        if number:
            found.append((ours / calls * 1e3, theirs / calls * 1e3))
    client.transport.session.close()
    await connection.close()
    return found


def median_of(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of both columns."""
    ours, theirs = zip(*pairs, strict=True)
    return statistics.median(ours), statistics.median(theirs)
