"""A source in memory and a platform around it: SQLite stores, the embedded bus, the job runner and the mirror's delivery."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bus.delivery import deliver
from bus.embedded import EmbeddedTransport
from config.model import Job, Platform, Retry, Schedule
from config.model import Source as DeclaredSource
from core.bus import Subscription, Transport
from core.clock import SystemClock, epoch_ms
from core.errors import NotConnected
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset
from core.stores import Run
from core.supervise import Tasks
from exchange.jobs import JobRunner
from exchange.sinks import MirrorSink
from storage.job_states import SqlJobStates
from storage.mirror import SqlMirror
from storage.quarantine import SqlQuarantine
from storage.sqlite import open_sqlite

NAME = "sales.customers"
CUSTOMERS = Dataset(
    object="Customer", key=("id",), fields={"id": "integer", "name": "text", "changed": "integer"}, cursor="changed"
)


@dataclass
class Feed:
    """core.adapter.Source over a list of (id, name, changed). `breaks` raises after so many batches of the next read."""

    rows: list[tuple[Any, Any, Any]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    cursors: list[Cursor | None] = field(default_factory=list)
    hangs: bool = False

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        return len(self._since(cursor))

    def _since(self, cursor: Cursor | None) -> list[tuple[Any, Any, Any]]:
        after = cursor["value"] if cursor else -1
        return sorted((row for row in self.rows if row[2] > after), key=lambda row: int(row[2]))

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        self.cursors.append(cursor)
        rows, breaks_after = self._since(cursor), self.breaks.pop(0) if self.breaks else None
        for number, start in enumerate(range(0, len(rows), batch_rows)):
            if number == breaks_after:
                raise NotConnected("the sales system at 10.0.0.1:1433 does not answer")
            batch = rows[start : start + batch_rows]
            yield Transaction(Rows(("id", "name", "changed"), batch), None, epoch_ms(), self._acknowledge(len(batch)))
            while self.hangs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _acknowledge(self, count: int) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            self.acknowledged.append(count)

        return acknowledge


def platform(**more: Any) -> Platform:
    job = replace(
        Job(NAME, batch_rows=10, retry=Retry(attempts=3, delay_s=0.05), schedule=Schedule(once=True)),
        **more,
    )
    return Platform(sources={"sales": DeclaredSource("memory", {}, datasets={"customers": CUSTOMERS})}, jobs={"load": job})


@dataclass
class Exchange:
    """The parts of one node on the files of one folder."""

    feed: Feed
    bus: Transport
    states: SqlJobStates
    quarantine: SqlQuarantine
    mirror: SqlMirror
    runner: JobRunner
    tasks: Tasks

    async def ended(self, count: int = 1) -> list[Run]:
        """Wait until so many runs have ended, the newest first."""
        async with asyncio.timeout(60):
            while True:
                runs = await self.states.runs()
                if sum(run.state != "running" for run in runs) >= count:
                    return runs
                await asyncio.sleep(0.01)

    async def mirrored(self) -> dict[Any, Any]:
        """id → name, once the bus is empty."""
        async with asyncio.timeout(60):
            while (await self.bus.depth()).get("mirror"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return {row.record["id"]: row.record["name"] for row in await self.mirror.query(NAME, {}, limit=1000)}


@asynccontextmanager
async def exchange_on(
    folder: Path, feed: Feed, *, faults: list[BaseException] | None = None, bus: Transport | None = None
) -> AsyncIterator[Exchange]:
    """Everything open; closed and ended at the end, as a node that stops. Loops may fail only where `faults` collects it. Without a
    `bus` (open, closed here) it is the embedded one."""
    failures: list[BaseException] = [] if faults is None else faults
    tasks = Tasks(lambda _, error: failures.append(error))
    database = await open_sqlite(folder / "platform.db")
    if bus is None:
        bus = embedded = EmbeddedTransport(folder / "bus.db")
        await embedded.open()
    states, quarantine, mirror = SqlJobStates(database), SqlQuarantine(database), SqlMirror(database)
    await states.prepare()
    await quarantine.prepare()
    await mirror.prepare(NAME, CUSTOMERS)
    runner = JobRunner(
        connections=lambda _: feed, bus=bus, states=states, quarantine=quarantine, tasks=tasks, clock=SystemClock(), owner="node"
    )
    reader = await bus.subscribe(Subscription(name="mirror", pattern="#"))
    tasks.spawn(deliver(reader, MirrorSink(mirror, bus, node="node")), name="mirror")
    try:
        yield Exchange(feed, bus, states, quarantine, mirror, runner, tasks)
    finally:
        await tasks.close()
        await bus.close()
        await database.close()
    assert faults is not None or failures == []
