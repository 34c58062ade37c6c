"""One process with two services over two sources, for transactions; and its end at any durable write that one asks for."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.embedded import EmbeddedTransport
from config.model import Service
from core.bus import Subscription
from core.schema import Dataset
from core.service import Write
from core.stores import Saga
from exchange.services.key_locks import KeyLocks
from exchange.services.records import RecordService
from exchange.services.transactions import Party, Transactions
from exchange.services.writes import Completion
from storage.incidents import SqlIncidents
from storage.journal import SqlJournal
from storage.mirror import SqlMirror
from storage.sagas import SqlSagas
from storage.sqlite import open_sqlite
from tests.conformance.data_service_suite import caller
from tests.exchange.customers import make_tiers

PEOPLE = Dataset(object="people", key=("id",), fields={"id": "integer", "name": "text", "changed": "integer"})
NAMES = ("stock", "orders")


@dataclass
class Desk:
    """One process: two services over two sources, on the files of one folder."""

    sources: Mapping[str, Any]
    mirror: SqlMirror
    sagas: SqlSagas
    transactions: Transactions
    incidents: SqlIncidents

    async def begin(self, *writes: tuple[str, Write], once: str = "tx-1") -> Saga:
        return await self.transactions.begin(writes, once, caller())

    async def mirrored(self) -> dict[str, dict[Any, Any]]:
        found = {name: await self.mirror.query(f"{name}.people", {}, limit=100) for name in NAMES}
        return {name: {row.record["id"]: row.record["name"] for row in rows} for name, rows in found.items()}


@asynccontextmanager
async def desk_on(folder: Path, sources: Mapping[str, Any], *, owner: str = "a") -> AsyncIterator[Desk]:
    database, bus = await open_sqlite(folder / "platform.db"), EmbeddedTransport(folder / "bus.db")
    await bus.open()
    mirror, journal, sagas, tiers = SqlMirror(database), SqlJournal(database), SqlSagas(database), make_tiers()
    incidents = SqlIncidents(database)
    await journal.prepare()
    await sagas.prepare()
    await incidents.prepare()
    await (await bus.subscribe(Subscription(name="test", pattern="#"))).close()
    parties = {}
    for name in NAMES:
        dataset = f"{name}.people"
        await mirror.prepare(dataset, PEOPLE)
        connections: Callable[[str], Any] = sources.__getitem__
        completion = Completion(dataset, PEOPLE, connections=connections, journal=journal, mirror=mirror, bus=bus)
        declared = Service("synchronous", dataset=dataset, writable=("name",))
        reader = RecordService(declared, dataset, PEOPLE, mirror=mirror, tiers=tiers, connections=connections)
        parties[name] = Party(name, "people", PEOPLE, ("name",), name, connections, completion, reader, KeyLocks(), tiers)
    try:
        yield Desk(sources, mirror, sagas, Transactions(parties, sagas, incidents, owner=owner), incidents)
    finally:
        await bus.close()
        await database.close()


BEFORE = {name: {n: f"{name}{n}" for n in range(1, 4)} for name in NAMES}
UPDATE = ("stock", Write("1", {"name": "taken"}, ""))
CREATE = ("orders", Write("9", {"name": "new"}, ""))
DELETE = ("stock", Write("2", None, ""))
LAST = ("orders", Write("3", {"name": "changed"}, ""))
ALL = (UPDATE, CREATE, DELETE, LAST)
AFTER = {"stock": {1: "taken", 3: "stock3"}, "orders": {1: "orders1", 2: "orders2", 3: "changed", 9: "new"}}


def ends_at(desk: Desk, number: int, end: Callable[[], None]) -> list[str]:
    """`end` is called in front of the `number`-th durable write of any kind, so behind the one before it; those begun so far."""
    seen: list[str] = []

    def watch(place: Any, name: str) -> None:
        real = getattr(place, name)

        async def watched(*args: Any, **more: Any) -> Any:
            seen.append(name)
            if len(seen) == number:
                end()
            return await real(*args, **more)

        setattr(place, name, watched)

    for place, names in (
        *((source, ("upsert", "delete")) for source in desk.sources.values()),
        (desk.sagas, ("accept", "save")),
        (desk.mirror, ("apply",)),
    ):
        for name in names:
            watch(place, name)
    return seen
