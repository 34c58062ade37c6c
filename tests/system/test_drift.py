"""Columns of a real MariaDB table change under a running job: what each `drift` does, what is told, and a backfill afterwards."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.guarded import guarded
from adapters.mysql import ADAPTER
from adapters.mysql_connections import Settings
from bus.delivery import deliver
from bus.embedded import EmbeddedTransport
from config.model import Guard, Job, Platform, Retry, Schedule
from config.model import Source as DeclaredSource
from core.bus import Subscription
from core.clock import SystemClock
from core.errors import Conflict, InvalidInput
from core.incidents import Incident
from core.schema import Dataset, Field, SourceColumn
from core.secret import Secret
from core.stores import Run, SchemaReport
from core.supervise import Tasks
from exchange.alerts import Alerts
from exchange.evolution import with_fields
from exchange.jobs import JobRunner
from exchange.replay import Replay
from exchange.sinks import MirrorSink
from storage.incidents import SqlIncidents
from storage.job_states import SqlJobStates
from storage.mirror import SqlMirror
from storage.quarantine import SqlQuarantine
from storage.sqlite import open_sqlite
from tests.servers.mariadb import MariaDBDatabase, MariaDBServer

pytestmark = [pytest.mark.servers, pytest.mark.req("0.41")]
NAME = "crm.person"
PERSON = Dataset(
    object="person",
    key=("id",),
    cursor="changed",
    fields={"id": "integer", "name": "text", "changed": "datetime", "label": Field(expression="upper(name)")},
)


@dataclass
class Node:
    """One node on a table `person`."""

    database: MariaDBDatabase
    server: MariaDBServer
    runner: JobRunner
    states: SqlJobStates
    mirror: SqlMirror
    quarantine: SqlQuarantine
    incidents: SqlIncidents
    replay: Replay
    bus: EmbeddedTransport
    datasets: dict[str, Dataset]
    evolved: list[str]
    count: int = 0

    def sql(self, *statements: str) -> None:
        self.server.execute(f"USE `{self.database.database}`", *statements, "COMMIT")

    async def start(self, dataset: Dataset) -> Run:
        await self.declare(dataset)
        return await self.ended()

    async def declare(self, dataset: Dataset) -> None:
        self.datasets[NAME] = dataset
        await self.mirror.prepare(NAME, dataset)
        job = Job(NAME, batch_rows=3, retry=Retry(attempts=1), schedule=Schedule(once=True))
        source = DeclaredSource("mysql", {}, datasets={"person": dataset})
        self.runner.reload(Platform(sources={"crm": source}, jobs={"load": job}))

    async def run(self) -> Run:
        self.runner.run_now("load")
        return await self.ended()

    async def ended(self) -> Run:
        """The next run to end."""
        self.count += 1
        async with asyncio.timeout(60):
            while True:
                runs = await self.states.runs()
                if sum(run.state != "running" for run in runs) >= self.count and not self.runner.live():
                    return runs[0]
                await asyncio.sleep(0.01)

    async def mirrored(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            while (await self.bus.depth()).get("mirror"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return [row.record for row in await self.mirror.query(NAME, {}, limit=100)]

    async def report(self) -> SchemaReport:
        report = await self.states.schema("load")
        assert report is not None
        return report

    async def told(self) -> list[Incident]:
        return [each for each in await self.incidents.listed() if each.kind == "schema_drift"]

    async def evolve(self, name: str, columns: Sequence[SourceColumn]) -> Dataset:
        """As exchange.evolution does through the registry, which has tests of its own."""
        from config.types import convert, plain

        dataset = convert(with_fields(plain(self.datasets[name]), columns), Dataset)
        self.evolved += [field for field in dataset.fields if field not in self.datasets[name].fields]
        self.datasets[name] = dataset
        await self.mirror.prepare(name, dataset)
        return dataset


@pytest.fixture
async def node(tmp_path: Path, mariadb_server: MariaDBServer, mariadb_database: MariaDBDatabase) -> AsyncIterator[Node]:
    async with _node(tmp_path, mariadb_server, mariadb_database) as opened:
        opened.sql(
            "CREATE TABLE person (id int PRIMARY KEY, name varchar(20) NOT NULL, changed datetime NOT NULL)",
            *(f"INSERT INTO person VALUES ({n}, 'p{n}', '2024-01-0{n} 00:00:00')" for n in range(1, 6)),
        )
        yield opened


@asynccontextmanager
async def _node(folder: Path, server: MariaDBServer, where: MariaDBDatabase) -> AsyncIterator[Node]:
    settings = Settings(host=where.host, port=where.port, database=where.database, user=where.user, password=Secret(where.password))
    connection = guarded(ADAPTER.open(settings), Guard(), SystemClock(), "crm")
    failures: list[BaseException] = []
    tasks = Tasks(lambda _, error: failures.append(error))
    database = await open_sqlite(folder / "platform.db")
    bus = EmbeddedTransport(folder / "bus.db")
    await bus.open()
    states, quarantine, mirror = SqlJobStates(database), SqlQuarantine(database), SqlMirror(database)
    incidents = SqlIncidents(database)
    for store in (states, quarantine, incidents):
        await store.prepare()
    datasets: dict[str, Dataset] = {}
    node = Node(
        where,
        server,
        None,  # type: ignore[arg-type]
        states,
        mirror,
        quarantine,
        incidents,
        Replay(quarantine, bus, lambda: datasets),
        bus,
        datasets,
        [],
    )
    node.runner = JobRunner(
        connections=lambda _: connection,
        bus=bus,
        states=states,
        quarantine=quarantine,
        tasks=tasks,
        clock=SystemClock(),
        owner="node",
        alerts=Alerts(incidents, states, owner="node"),
        evolve=node.evolve,
    )
    reader = await bus.subscribe(Subscription(name="mirror", pattern="#"))
    tasks.spawn(deliver(reader, MirrorSink(mirror, bus, node="node")), name="mirror")
    try:
        yield node
    finally:
        await tasks.close()
        await connection.close()
        await bus.close()
        await database.close()
    assert failures == []


async def test_frozen_new_columns_are_reported_once_and_the_run_goes_on(node: Node) -> None:
    assert (await node.start(PERSON)).state == "succeeded"
    assert (await node.report()).added == ()
    assert await node.told() == []
    node.sql("ALTER TABLE person ADD COLUMN mobile varchar(20)", "ALTER TABLE person MODIFY name varchar(40) NOT NULL")
    for _ in range(2):
        assert (await node.run()).state == "succeeded"
    report = await node.report()
    assert (report.added, report.removed, report.changed) == (("mobile",), (), ("name: varchar(20) → varchar(40)",))
    assert [event.text for event in report.events] == ["new at the source: mobile; changed type: name: varchar(20) → varchar(40)"]
    (incident,) = await node.told()
    assert (incident.subject, incident.detail, incident.count) == ("load", report.events[0].text, 1)
    node.sql("ALTER TABLE person DROP COLUMN mobile", "ALTER TABLE person MODIFY name varchar(20) NOT NULL")
    await node.run()
    assert await node.told() == []  # settled by itself


async def test_frozen_a_run_fails_where_a_declared_column_is_gone(node: Node) -> None:
    await node.start(PERSON)
    node.sql("ALTER TABLE person CHANGE name full_name varchar(20) NOT NULL", "UPDATE person SET changed = '2025-01-01'")
    run = await node.run()
    assert run.state == "failed"
    assert run.reason == (
        "person: gone from the source: name; new at the source: full_name; mend the dataset's declaration, or the source"
    )
    assert (await node.report()).removed == ("name",)
    assert [record["name"] for record in await node.mirrored()] == ["p1", "p2", "p3", "p4", "p5"]
    fields = {**PERSON.fields, "name": Field(source="full_name"), "label": Field(expression="upper(name)")}
    await node.declare(replace(PERSON, fields=fields))
    run = await node.run()
    assert (run.state, run.rows) == ("succeeded", 5)
    assert await node.told() == []


async def test_evolving_new_columns_become_fields_and_are_loaded_at_once(node: Node) -> None:
    evolving = replace(PERSON, drift="evolve")
    await node.start(evolving)
    node.sql(
        "ALTER TABLE person ADD COLUMN `MobileNo` varchar(20), ADD COLUMN score decimal(6,2), ADD COLUMN photo blob,"
        " ADD COLUMN `地址` varchar(50)",
        "UPDATE person SET MobileNo = '138', score = 1.5, changed = '2025-01-01' WHERE id = 2",
    )
    run = await node.run()
    assert run.state == "succeeded"
    assert node.evolved == ["mobile_no", "score"]
    assert node.datasets[NAME].field("mobile_no") == Field(source="MobileNo")
    assert node.datasets[NAME].field("score").type == "decimal"
    report = await node.report()
    assert report.added == ("MobileNo", "score", "photo", "地址")  # what bytes or a name keep from being a field is told too
    assert report.evolved == ("mobile_no", "score")
    records = {record["id"]: record for record in await node.mirrored()}
    assert (records[2]["mobile_no"], records[2]["score"], records[2]["label"]) == ("138", "1.50", "P2")
    assert records[1]["mobile_no"] is None
    await node.declare(node.datasets[NAME])
    await node.run()
    assert len(await node.told()) == 1  # a person sees to it


async def test_with_quarantine_rows_wait_until_the_declaration_is_mended(node: Node) -> None:
    waiting = replace(PERSON, drift="quarantine")
    await node.start(waiting)
    node.sql(
        "ALTER TABLE person CHANGE name full_name varchar(20) NOT NULL",
        "UPDATE person SET full_name = 'new', changed = '2025-01-01' WHERE id = 4",
    )
    run = await node.run()
    assert (run.state, run.rows) == ("partial", 0)
    bad = await node.quarantine.rows()
    assert {row.reason for row in bad} == {"the source has no column name any more"}
    assert len(bad) == run.bad_rows
    assert {record["id"]: record["name"] for record in await node.mirrored()}[4] == "p4"
    nameless = {name: each for name, each in PERSON.fields.items() if name not in ("name", "label")}
    await node.declare(replace(waiting, fields=nameless))
    for row in bad:
        await node.replay.replay(row.id)
    changed = {record["id"]: record["changed"] for record in await node.mirrored()}
    assert changed[4] == "2025-01-01T00:00:00"


async def test_a_key_that_is_gone_fails_the_run_whatever_is_declared(node: Node) -> None:
    waiting = replace(PERSON, drift="quarantine")
    await node.start(waiting)
    node.sql("ALTER TABLE person CHANGE id number int")
    run = await node.run()
    assert (run.state, run.reason) == ("failed", "person: without id, its key or cursor, it can't be read")


async def test_a_backfill_loads_a_new_field_of_known_records_and_leaves_the_checkpoint(node: Node) -> None:
    await node.start(PERSON)
    before = await node.mirrored()
    checkpoint = await node.states.checkpoint("load")
    node.sql(
        "ALTER TABLE person ADD COLUMN mobile varchar(20)",
        "UPDATE person SET mobile = CONCAT('13', id), name = CONCAT('later', id)",  # without moving the cursor
        "INSERT INTO person VALUES (9, 'p9', '2025-01-01', '139')",
    )
    wider = replace(PERSON, fields={**PERSON.fields, "mobile": "text"})
    await node.declare(wider)
    node.runner.backfill("load", ["mobile", "id", "mobile"])
    with pytest.raises(Conflict, match="a backfill of mobile is not through yet"):
        node.runner.backfill("load", ["name"])
    run = await node.ended()
    assert (run.state, run.rows, run.backfill) == ("succeeded", 6, ("mobile",))
    assert await node.states.checkpoint("load") == checkpoint
    assert await node.mirrored() == [{**record, "mobile": f"13{record['id']}"} for record in before]
    version = await node.mirror.version(NAME)
    node.runner.backfill("load", ["mobile"])
    await node.ended()
    await node.mirrored()
    assert await node.mirror.version(NAME) == version  # what is the same is no change
    increment = await node.run()
    assert (increment.state, increment.backfill) == ("succeeded", ())
    assert increment.rows <= 2  # the new record, and the one that the checkpoint stands at
    assert {record["id"] for record in await node.mirrored()} == {1, 2, 3, 4, 5, 9}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [(["mobil"], "person has no field mobil; it has id, name"), (["id"], "at least one field that is not part of the key")],
)
async def test_a_backfill_of_nothing_is_refused(node: Node, fields: list[str], reason: str) -> None:
    await node.start(PERSON)
    with pytest.raises(InvalidInput, match=reason):
        node.runner.backfill("load", fields)
