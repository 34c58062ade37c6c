"""The order of the promises: bus, quarantine, checkpoint, and only then the source; a process killed anywhere loses nothing."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from config.model import Job
from core.bus import Channel, Envelope
from core.records import BadRow, Frames, Rows, Transaction
from core.schema import Dataset, Format
from core.stores import Run
from exchange.collection import Collection
from exchange.drift import Watch
from exchange.intake import Intake
from exchange.sinks import change_set
from tests.exchange.feed import CUSTOMERS, NAME, Feed, exchange_on, platform


async def test_nothing_is_promised_before_what_is_behind_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed([(1, "a", 1), ("x", "b", 2)])
    told: list[str] = []
    async with exchange_on(tmp_path, feed) as exchange:
        publish, add, progress = exchange.bus.publish, exchange.quarantine.add, exchange.states.progress

        async def recorded_publish(envelopes: list[Envelope], *, channel: Channel = "data") -> None:
            await publish(envelopes, channel=channel)
            if channel == "data":
                told.append(f"bus {envelopes[0].count}")

        async def recorded_add(job: str, dataset: str, batch_id: str, bad: list[BadRow]) -> None:
            await add(job, dataset, batch_id, bad)
            told.append(f"quarantine {len(bad)}")

        async def recorded_progress(run: Run, cursor: dict[str, Any] | None) -> None:
            await progress(run, cursor)
            told.append(f"checkpoint {cursor} acknowledged {len(feed.acknowledged)}")

        monkeypatch.setattr(exchange.bus, "publish", recorded_publish)
        monkeypatch.setattr(exchange.quarantine, "add", recorded_add)
        monkeypatch.setattr(exchange.states, "progress", recorded_progress)
        run = await exchange.states.begin("load", day="20240510")
        intake = Intake(NAME, CUSTOMERS, job="load", batch_id=run.batch_id, bus=exchange.bus, quarantine=exchange.quarantine)
        clock = exchange.runner._clock
        collection = Collection(
            run,
            feed,
            CUSTOMERS,
            lambda *_: intake,
            exchange.states,
            clock,
            Watch("load", Job(NAME), exchange.states, None, None),
            owner="node",
            is_pausing=lambda: False,
        )
        await collection.collect(is_fresh=False, batch_rows=10)
    assert told == ["bus 1", "quarantine 1", "checkpoint {'value': 1} acknowledged 0", "bus 0"]
    assert feed.acknowledged == [2]


async def test_each_frame_is_a_message_of_its_own(tmp_path: Path) -> None:
    dataset = Dataset(object="calls", key=("id",), fields={"id": "integer", "name": "text"}, format=Format("json"))
    async with exchange_on(tmp_path, Feed()) as exchange:
        intake = Intake("sales.calls", dataset, job="j", batch_id="B", bus=exchange.bus, quarantine=exchange.quarantine)
        bad = b'[{"id": 3}, {"id": "x"}]'
        taken = await intake.take(Transaction(Frames([b'{"id": 1, "name": "a"}', bad, b"{"]), {"n": 7}, 1))
        assert (taken.rows, taken.bad, taken.cursor) == (2, 2, {"n": 7})
        kept = await exchange.quarantine.rows()
        assert {(row.place, row.raw, row.columns) for row in kept} == {("message 2", bad, ()), ("message 3", b"{", ())}


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.exchange.feed import Feed, exchange_on, platform

async def main() -> None:
    feed = Feed([(n, f"人{n}", n) for n in range(500)])
    async with exchange_on(Path(sys.argv[1]), feed) as exchange:
        exchange.runner.reload(platform())
        while len(feed.acknowledged) < int(sys.argv[2]):
            await asyncio.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.req("0.41")
@pytest.mark.parametrize("batches", [1, 7, 30])
async def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path, batches: int) -> None:
    program = (sys.executable, "-c", _KILLED, str(tmp_path), str(batches))
    process = await asyncio.create_subprocess_exec(*program, cwd=Path(__file__).parents[2])
    assert await process.wait() == -9
    feed = Feed([(n, f"人{n}", n) for n in range(500)])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        newest, killed = await exchange.ended(2)
        assert (killed.state, newest.state) == ("failed", "succeeded")
        cursor = feed.cursors[0]
        assert cursor is not None
        assert cursor["value"] >= batches * 10 - 1  # what was acknowledged is not read again
        assert newest.rows == 500 - (cursor["value"] + 1)
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(500)}
        assert await exchange.mirror.count(NAME) == 500


async def test_rows_of_a_batch_are_one_envelope(tmp_path: Path) -> None:
    async with exchange_on(tmp_path, Feed()) as exchange:
        intake = Intake(NAME, CUSTOMERS, job="j", batch_id="B", bus=exchange.bus, quarantine=exchange.quarantine)
        sent: list[Envelope] = []
        publish = exchange.bus.publish

        async def recorded(envelopes: list[Envelope], *, channel: Channel = "data") -> None:
            sent.extend(envelopes)
            await publish(envelopes, channel=channel)

        exchange.bus.publish = recorded  # type: ignore[assignment, method-assign]
        rows = Rows(("changed", "id", "name", "extra"), [[5, "1", "a", None], [6, "2", "b", None]])
        taken = await intake.take(Transaction(rows, None, 100))
        changes = change_set(sent[0])
        assert (sent[0].topic, sent[0].source, sent[0].count, taken.cursor) == ("sales.customers.upsert", "B", 2, {"value": 6})
        assert (changes.fields, [list(row) for row in changes.rows]) == (("id", "name", "changed"), [[1, "a", 5], [2, "b", 6]])
