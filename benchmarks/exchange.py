"""The data-exchange centre in figures: bus, log, loads and calls, each beside what it is compared with.

`python -m benchmarks.exchange [--quick] [--json]`. RabbitMQ, MariaDB, ProFTPD and PHP are real, and share the machine.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks import exchange_bus as bus
from benchmarks import exchange_loads as loads
from benchmarks.report import Goal, Measured, Table, main

Rows = list[tuple[object, ...]]


def _rabbitmq(folder: Path, *, quick: bool) -> tuple[Table, list[Goal]]:
    rounds = 3 if quick else 7
    with bus.broker(folder / "rabbitmq") as url:
        batches = uvloop.run(bus.through_rabbitmq(url, records=30_000 if quick else 120_000, rounds=rounds))
        singles = uvloop.run(bus.single_messages(url, messages=3_000 if quick else 10_000, rounds=rounds))
        lone = uvloop.run(bus.lone_record(url, count=100 if quick else 500))
    rate, cpu, bare_rate, bare_cpu = (statistics.median(column) for column in zip(*batches, strict=True))
    mine, theirs = loads.median_of(singles)
    ratio = statistics.median(ours / bare for ours, bare in singles)
    p50, p99 = lone[len(lone) // 2], lone[len(lone) * 99 // 100]
    rows: Rows = [
        (f"records of 1 KB, {bus.BATCH} an envelope, records/s", round(rate), round(bare_rate)),
        ("… CPU of publisher and consumer, µs a record", round(cpu, 1), round(bare_cpu, 1)),
        ("single messages, messages/s", round(mine), round(theirs)),
        ("lone record, publish to reader, ms (median, p99)", f"{p50:.1f}, {p99:.1f}", ""),
    ]
    goals = [
        Goal("records through RabbitMQ, end to end", "records/s", 60_000, round(rate), ">="),
        Goal("single messages to a bare aio-pika loop", "×", 0.9, round(ratio, 2), ">="),
        Goal("latency of a lone record, p99", "ms", 20, round(p99, 1), "<="),
    ]
    return Table("through RabbitMQ, confirmed, durable quorum queue", ("what", "ours", "bare aio-pika"), rows), goals


def _log(folder: Path, *, quick: bool) -> tuple[Table, list[Goal]]:
    records, seconds = (200_000, 2.0) if quick else (1_600_000, 10.0)
    rate, kept, lone = uvloop.run(bus.log_append(folder, records=records, beside_per_s=50_000, seconds=seconds))
    p50, p99 = lone[len(lone) // 2], lone[len(lone) * 99 // 100]
    rows: Rows = [
        ("records of 200 B, group commit with fsync, records/s", round(rate)),
        ("one record beside so many a second", round(kept)),
        ("… its durable append, ms (median, p99)", f"{p50:.1f}, {p99:.1f}"),
    ]
    goals = [
        Goal("log append", "records/s", 250_000, round(rate), ">="),
        Goal("one record's durable append beside 50,000/s, p99", "ms", 5, round(p99, 1), "<="),
    ]
    return Table("the embedded log", ("what", "ours"), rows), goals


def _loads(folder: Path, *, quick: bool) -> tuple[Table, list[Goal]]:
    found = loads.mariadb_loads(folder, (20_000,) if quick else (100_000, 1_000_000))
    rows: Rows = [
        (f"MariaDB → mirror, {count:,} rows", f"{rate:,.0f} rows/s", f"largest process {pss:.0f} MB") for count, rate, pss in found
    ]
    rate, peer = loads.ftp_load(folder, 20_000 if quick else 300_000)
    rows.append(("CSV in GB18030 by FTP → mirror", f"{rate:.1f} MB/s", f"by hand {peer:.1f} MB/s"))
    fresh, changed = loads.into_mariadb(folder, 10_000 if quick else 100_000)
    rows.append(("change sets → mirror on MariaDB, multi-row upsert", f"{fresh:,.0f} rows/s", f"{changed:,.0f} rows/s as changes"))
    goals = [
        Goal("rows into MariaDB by multi-row upsert", "rows/s", 25_000, round(fresh), ">="),
        Goal("MariaDB → mirror full load, 12 columns", "rows/s", 100_000, round(found[-1][1]), ">="),
        Goal("memory of the largest process", "MB", 150, round(max(pss for *_, pss in found)), "<="),
        Goal("FTP GBK CSV → mirror", "MB/s", 30, round(rate, 1), ">="),
    ]
    return Table("whole loads, embedded bus and mirror", ("road", "ours", "beside it"), rows), goals


def _soap(folder: Path, *, quick: bool) -> tuple[Table, list[Goal]]:
    ours, theirs = loads.median_of(loads.soap_calls(folder, calls=100 if quick else 500, rounds=3 if quick else 7))
    rows: Rows = [("one call, client CPU", round(ours, 2), round(theirs, 2))]
    return Table("SOAP, ms", ("what", "ours", "zeep with requests"), rows), [
        Goal("SOAP call through the adapter, client CPU", "ms", 1.3, round(ours, 2), "<=")
    ]


def measure(quick: bool) -> Measured:
    tables, goals = [], []
    with tempfile.TemporaryDirectory(prefix="zhiyun-bench-") as name:
        for part in (_log, _rabbitmq, _soap, _loads):
            table, part_goals = part(Path(name), quick=quick)
            tables.append(table)
            goals += part_goals
    return tables, goals, []


if __name__ == "__main__":
    sys.exit(main("exchange", measure))
