"""What a record costs from each of the four tiers, and what the platform adds to the bare client of that tier.

`python -m benchmarks.tiers [--quick] [--json]`. One caller, one read after the other, in one process; ours and the bare client take
turns, so that both see the same machine. Redis and MariaDB are real and started here.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from adapters.loader import load_adapters
from benchmarks import deals
from benchmarks.full_load import mariadb
from benchmarks.gateway_peers import redis_server
from benchmarks.report import Goal, Report, Table, commit, machine, show
from cache.app import AppCache
from cache.coalesce import Coalescer
from cache.memory import MemorySharedCache
from cache.redis import RedisSharedCache
from config.model import Freshness, Service
from config.types import convert
from core.cache import SharedCache
from core.clock import epoch_ms
from core.records import ChangeSet
from core.schema import Dataset
from core.service import Caller
from exchange.services.records import RecordService
from exchange.services.tiers import Tiers
from storage.mirror import SqlMirror
from storage.sqlite import open_sqlite

_ROWS = 1_000
_NAME = "bench.deals"
_ROOM = 64 << 20
Read = Callable[[str], Awaitable[object]]


async def _turns(ours: Read, bare: Read, keys: list[str], rounds: int) -> tuple[float, float, float]:
    """µs a read, ours and bare, and the median of the rounds' ratios. Both were warmed by one round."""
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for which, read in enumerate((ours, bare)):
            started = time.perf_counter()
            for key in keys:
                await read(key)
            if number:
                spent[which].append((time.perf_counter() - started) / len(keys) * 1e6)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(*spent, strict=True))
    return statistics.median(spent[0]), statistics.median(spent[1]), ratio


class _Bench:
    """The parts that the tiers stand on, and a service over them for each tier."""

    def __init__(self, mirror: SqlMirror, dataset: Dataset, connection: Any) -> None:
        self._mirror = mirror
        self._dataset = dataset
        self._connection = connection

    def service(self, freshness: Freshness, shared: SharedCache, app: AppCache[Any] | None = None, *, name: str = _NAME) -> Read:
        declared = Service(kind="asynchronous", dataset=_NAME, source_reads=True, freshness=freshness)
        tiers = Tiers(app or AppCache(max_bytes=_ROOM, max_entries=_ROWS * 2), shared, Coalescer())
        made = RecordService(
            declared, name, self._dataset, mirror=self._mirror, tiers=tiers, connections=lambda _: self._connection
        )

        async def read(key: str) -> object:
            return await made.get(key, Caller("bench", "bench", time.monotonic() + 30))

        return read


async def _measure(folder: Path, redis_url: str, source: dict[str, Any], rounds: int) -> list[tuple[str, str, float, float, float]]:
    dataset = convert(deals.dataset(), Dataset)
    adapter = load_adapters()["mysql"]
    connection = adapter.open(convert(source["settings"], adapter.settings))
    database = await open_sqlite(folder / "mirror.db")
    mirror = SqlMirror(database)
    for name in (_NAME, "empty.deals"):
        await mirror.prepare(name, dataset)
    records: list[list[Any]] = [list(row) for row in deals.rows(_ROWS)]
    for row in records:
        row[9] = bool(row[9])
    await mirror.apply(ChangeSet(_NAME, "upsert", dataset.columns, [*records], epoch_ms()))
    bench, keys = _Bench(mirror, dataset, connection), [str(row[0]) for row in records]
    none, never = MemorySharedCache(), Freshness(app_s=0, cache_s=0, stale_s=0)
    redis = RedisSharedCache(redis_url)
    await redis.open()
    found = [await _app(bench, none, keys, rounds), await _redis(bench, redis, redis_url, keys, rounds)]
    found.append(("mirror", "sqlite3 in a thread", *await _turns(bench.service(never, none), _bare_sqlite(folder), keys, rounds)))
    few = keys[: len(keys) // 5]
    bare = await _bare_mysql(source["settings"])
    found.append(("source", "aiomysql", *await _turns(bench.service(never, none, name="empty.deals"), bare, few, rounds)))
    await connection.close()
    await redis.close()
    await database.close()
    return found


async def _app(bench: _Bench, none: SharedCache, keys: list[str], rounds: int) -> tuple[str, str, float, float, float]:
    app: AppCache[Any] = AppCache(max_bytes=_ROOM, max_entries=_ROWS * 2)
    held: AppCache[bytes] = AppCache(max_bytes=_ROOM, max_entries=_ROWS * 2)
    for key in keys:
        held.set(key, b"x" * 300, size=300, ttl_s=3600)

    async def bare(key: str) -> object:
        return held.get(key)

    return (
        "app cache",
        "its dictionary",
        *await _turns(bench.service(Freshness(app_s=3600, cache_s=0), none, app), bare, keys, rounds),
    )


async def _redis(
    bench: _Bench, shared: RedisSharedCache, url: str, keys: list[str], rounds: int
) -> tuple[str, str, float, float, float]:
    """The bare client reads values of the same length by keys of its own."""
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    for key in keys:
        await client.set(f"bare:{key}", b"x" * 330)
    ours = bench.service(Freshness(app_s=0, cache_s=3600), shared)
    figures = await _turns(ours, lambda key: client.get(f"bare:{key}"), keys, rounds)
    await client.aclose()
    return "Redis", "redis.asyncio", *figures


def _bare_sqlite(folder: Path) -> Read:
    """The same row, by the standard library in a thread: what anybody would write in an asyncio program."""
    database = sqlite3.connect(f"file:{folder}/mirror.db?mode=ro", uri=True, check_same_thread=False)
    ((table,),) = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'mirror_bench%'").fetchall()
    statement = f'SELECT * FROM "{table}" WHERE deal_id = ?'  # noqa: S608  # the name is the mirror's own

    async def read(key: str) -> object:
        return await asyncio.to_thread(lambda: database.execute(statement, (key,)).fetchone())

    return read


async def _bare_mysql(settings: dict[str, Any]) -> Read:
    import aiomysql

    connection = await aiomysql.connect(
        host=settings["host"],
        port=settings["port"],
        user=settings["user"],
        password=settings["password"],
        db=settings["database"],
        charset="utf8mb4",
        autocommit=True,
    )

    async def read(key: str) -> object:
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT * FROM deal WHERE deal_id = %s", (key,))
            return await cursor.fetchone()

    return read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiers", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zhiyun-bench-")))
        url = stack.enter_context(redis_server(folder))
        source = stack.enter_context(mariadb(folder, _ROWS))
        if source is None:
            print("MariaDB is not installed (Debian: apt-get install mariadb-server)", file=sys.stderr)
            return 2
        found = uvloop.run(_measure(folder, url, source, 3 if options.quick else 15))
    rows: list[tuple[object, ...]] = [
        (tier, round(ours, 1), client, round(bare, 1), round(ratio, 2)) for tier, client, ours, bare, ratio in found
    ]
    table = Table("one record, µs, one read after the other", ("tier", "ours", "bare client", "bare", "ours to bare"), rows)
    goals = [Goal(f"{tier} to its bare client", "×", 1.15, round(ratio, 2), "<=") for tier, _, _, _, ratio in found[1:]]
    show(Report("tiers", options.quick, machine(), commit(), [table], goals, []), as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
