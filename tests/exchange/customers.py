"""A source in memory that can be looked up and written to, with awkward failures; and the services over it on real stores."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.embedded import EmbeddedTransport
from cache.app import AppCache
from cache.coalesce import Coalescer
from cache.memory import MemorySharedCache
from config.model import Freshness, Service
from core.adapter import Connection
from core.bus import Reader, Subscription
from core.cache import SharedCache
from core.clock import epoch_ms
from core.records import ChangeSet, Rows
from core.schema import Dataset, Record, Value
from exchange.services.records import RecordService
from exchange.services.tiers import Held, Tiers
from exchange.services.writes import Completion, WriteService
from storage.journal import SqlJournal
from storage.mirror import SqlMirror
from storage.sqlite import open_sqlite
from tests.exchange.feed import CUSTOMERS, NAME


@dataclass
class Sales:
    """core.adapter.Lookup and Writer. `fails` are raised by the next writes, one each; `fails_after` once the write was done."""

    rows: dict[Any, dict[str, Any]] = field(default_factory=dict)
    fails: list[Exception] = field(default_factory=list)
    fails_after: list[Exception] = field(default_factory=list)
    writes: list[tuple[str, Any, Any]] = field(default_factory=list)
    fetches: int = 0

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        self.fetches += 1
        row = self.rows.get(key["id"])
        return Rows(("id", "name", "changed"), [[row.get(name) for name in ("id", "name", "changed")]]) if row else None

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        self._fail(self.fails)
        self.writes.append(("upsert", key["id"], changes))
        self.rows.setdefault(key["id"], {**key, "changed": 77}).update(changes)
        self._fail(self.fails_after)

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        self._fail(self.fails)
        self.writes.append(("delete", key["id"], None))
        self.rows.pop(key["id"], None)

    @staticmethod
    def _fail(failures: list[Exception]) -> None:
        if failures:
            raise failures.pop(0)


@dataclass
class Platform:
    """The parts of one node that serve customers."""

    sales: Any  # the connection
    mirror: SqlMirror
    journal: SqlJournal
    bus: EmbeddedTransport
    published: Reader
    announced: Reader
    tiers: Tiers
    completion: Completion
    records: RecordService
    service: WriteService


def make_tiers(shared: SharedCache | None = None) -> Tiers:
    cache: AppCache[Held] = AppCache(max_bytes=1 << 20, max_entries=1000)
    return Tiers(cache, shared or MemorySharedCache(), Coalescer())


@asynccontextmanager
async def customers_on(folder: Path, sales: Connection, *, source_reads: bool = False) -> AsyncIterator[Platform]:
    """25 mirrored customers and their services, on the files of `folder`."""
    database, bus = await open_sqlite(folder / "platform.db"), EmbeddedTransport(folder / "bus.db")
    await bus.open()
    try:
        mirror, journal, tiers = SqlMirror(database), SqlJournal(database), make_tiers()
        await journal.prepare()
        await mirror.prepare(NAME, CUSTOMERS)
        if not await mirror.count(NAME):
            rows: list[Sequence[Any]] = [[n, f"人{n}", n // 10] for n in range(25)]
            await mirror.apply(ChangeSet(NAME, "upsert", CUSTOMERS.columns, rows, epoch_ms() - 2000))
        declared = Service(
            "synchronous",
            dataset=NAME,
            filters=("name", "changed"),
            writable=("name",),
            source_reads=source_reads,
            freshness=Freshness(app_s=5, cache_s=30, stale_s=300),
            max_limit=10,
        )
        completion = Completion(NAME, CUSTOMERS, connections=lambda _: sales, journal=journal, mirror=mirror, bus=bus)
        records = RecordService(declared, NAME, CUSTOMERS, mirror=mirror, tiers=tiers, connections=lambda _: sales)
        service = WriteService(
            NAME, ("name",), CUSTOMERS, records, completion, service="customers", journal=journal, mirror=mirror, tiers=tiers
        )
        published = await bus.subscribe(Subscription(name="test", pattern="#", prefetch=100))
        announced = await bus.subscribe(Subscription(name="caches", pattern="changed.#", channel="control", durable=False))
        yield Platform(sales, mirror, journal, bus, published, announced, tiers, completion, records, service)
    finally:
        await bus.close()
        await database.close()
