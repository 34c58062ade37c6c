"""Headers of files against the declaration, in a real folder; and the comparison by itself. Tables: tests/system/test_drift.py."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.files import ADAPTER, FilesSettings
from config.model import Job, Platform, Retry, Schedule
from config.model import Source as DeclaredSource
from config.types import convert, plain
from core.errors import InvalidInput
from core.schema import Dataset, Field, Format, Record, SourceColumn
from core.stores import Run
from exchange.drift import Difference, difference, without
from exchange.evolution import with_fields
from exchange.jobs import JobRunner
from tests.exchange.feed import Exchange, Feed, exchange_on

NAME = "sales.customers"
FILES = Dataset(
    object="/*.csv",
    key=("id",),
    fields={"id": "integer", "name": Field(source="Name")},
    format=Format("csv"),
    drift="evolve",
)


class Office:
    """Runs a job on files dropped into a folder."""

    def __init__(self, folder: Path, exchange: Exchange, dataset: Dataset) -> None:
        self.folder = folder
        self.exchange = exchange
        self.dataset = dataset
        self.runs = 0

    def drop(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def run(self) -> Run:
        if self.runs:
            self.exchange.runner.run_now("load")
        else:
            job = Job(NAME, schedule=Schedule(once=True), retry=Retry(attempts=1))
            source = DeclaredSource("files", {}, datasets={"customers": self.dataset})
            self.exchange.runner.reload(Platform(sources={"sales": source}, jobs={"load": job}))
        self.runs += 1
        ended = await self.exchange.ended(self.runs)
        while self.exchange.runner.live():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return ended[0]

    async def evolve(self, name: str, columns: Sequence[SourceColumn]) -> Dataset:
        self.dataset = convert(with_fields(plain(self.dataset), columns), Dataset)
        await self.exchange.mirror.prepare(name, self.dataset)
        return self.dataset

    async def records(self) -> list[Record]:
        await self.exchange.mirrored()
        return [row.record for row in await self.exchange.mirror.query(NAME, {}, limit=100)]


@asynccontextmanager
async def _office(folder: Path, dataset: Dataset) -> AsyncIterator[Office]:
    drops = folder / "drops"
    drops.mkdir()
    connection = ADAPTER.open(FilesSettings(str(drops)))
    async with exchange_on(folder, Feed()) as exchange:
        office = Office(drops, exchange, dataset)
        await exchange.mirror.prepare(NAME, dataset)
        known = exchange.runner
        exchange.runner = JobRunner(
            connections=lambda _: connection,
            bus=exchange.bus,
            states=exchange.states,
            quarantine=exchange.quarantine,
            tasks=known._tasks,
            clock=known._clock,
            owner="node",
            evolve=office.evolve,
        )
        yield office
    await connection.close()


async def test_an_evolving_dataset_takes_a_new_column_with_the_file_that_brings_it(tmp_path: Path) -> None:
    async with _office(tmp_path, FILES) as office:
        office.drop("1.csv", "id,Name", "1,张三")
        office.drop("2.csv", "Name,id,MobileNo,地址", "李四,2,138,上海")
        office.drop("3.csv", "id,Name,MobileNo,Score", "3,王五,139,7")
        run = await office.run()
        assert (run.state, run.bad_rows) == ("succeeded", 0)
        report = await office.exchange.states.schema("load")
        assert report is not None
        assert [event.text for event in report.events] == [
            "new at the source: MobileNo, 地址; added to the dataset as: mobile_no",
            "new at the source: Score; added to the dataset as: score",
        ]
        records = {record["id"]: record for record in await office.records()}
        assert records[2] == {"id": 2, "name": "李四", "mobile_no": "138", "score": None}
        assert records[3] == {"id": 3, "name": "王五", "mobile_no": "139", "score": "7"}


async def test_frozen_a_header_without_a_declared_column_fails_the_run_and_is_kept(tmp_path: Path) -> None:
    async with _office(tmp_path, replace(FILES, drift="freeze")) as office:
        office.drop("1.csv", "id,Name,extra", "1,张三,x")
        assert (await office.run()).state == "succeeded"
        report = await office.exchange.states.schema("load")
        assert report is not None
        assert (report.added, report.removed) == (("extra",), ())
        office.drop("2.csv", "id,Full", "2,李四")
        run = await office.run()
        assert (run.state, run.reason) == (
            "failed",
            "/*.csv: gone from the source: Name; new at the source: Full; mend the dataset's declaration, or the source",
        )
        assert [record["id"] for record in await office.records()] == [1]


async def test_with_quarantine_the_rows_of_such_a_file_wait_and_others_go_on(tmp_path: Path) -> None:
    async with _office(tmp_path, replace(FILES, drift="quarantine")) as office:
        office.drop("1.csv", "id,Full", "1,张三")
        office.drop("2.csv", "id,Name", "2,李四")
        run = await office.run()
        assert (run.state, run.rows, run.bad_rows) == ("partial", 1, 1)
        (bad,) = await office.exchange.quarantine.rows()
        assert (bad.reason, bad.place, bad.raw) == ("the source has no column Name any more", "/1.csv line 2", "1,张三".encode())
        report = await office.exchange.states.schema("load")
        assert report is not None
        assert report.removed == ("Name",)


TABLE = Dataset(
    object="t",
    key=("id",),
    fields={
        "id": "integer",
        "name": Field(source="Name"),
        "suffix": Field(source="Suffix"),
        "label": Field(expression="name + suffix"),
    },
    indexes=("name",),
)


def test_a_table_s_columns_are_compared_without_case_and_types_with_what_they_were() -> None:
    first = [SourceColumn("ID", "integer", "int"), SourceColumn("NAME", "text", "varchar(9)"), SourceColumn("suffix")]
    assert difference(TABLE, first, first) == Difference()
    now = [SourceColumn("id", "integer", "bigint"), SourceColumn("name", "text", "varchar(9)"), SourceColumn("New")]
    assert difference(TABLE, first, now) == Difference(("New",), ("Suffix",), ("id: int → bigint",))


def test_what_can_still_be_read() -> None:
    assert without(TABLE, ["Suffix"]).columns == ("id", "name")
    left = without(TABLE, ["Name"])
    assert (left.columns, left.indexes) == (("id", "suffix"), ())
    with pytest.raises(InvalidInput, match="without id, its key or cursor"):
        without(TABLE, ["id"])
