"""Collection jobs over real stores and the embedded bus: full, then increments; failure, cancel, crash; nothing lost or doubled."""

import asyncio
from pathlib import Path

import pytest

from config.model import Platform, Schedule
from core.errors import NotFound
from core.records import Cursor
from core.schema import Dataset
from core.stores import INTERRUPTED
from tests.exchange.feed import Feed, exchange_on, platform


def people(count: int, *, first: int = 0, name: str = "人") -> list[tuple[int, str, int]]:
    return [(n, f"{name}{n}", n) for n in range(first, first + count)]


@pytest.mark.req("0.27")
@pytest.mark.req("0.41")
async def test_a_full_load_then_only_what_changed(tmp_path: Path) -> None:
    feed = Feed(people(35))
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        (run,) = await exchange.ended()
        assert (run.state, run.rows, run.bad_rows, run.expected) == ("succeeded", 35, 0, 35)
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(35)}
        feed.rows += [(3, "changed", 100), (99, "new", 101)]
        exchange.runner.run_now("load")
        run, _ = await exchange.ended(2)
        assert (run.rows, feed.cursors) == (2, [None, {"value": 34}])
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(35)} | {3: "changed", 99: "new"}
        assert sum(feed.acknowledged) == 37
        row = await exchange.mirror.get("sales.customers", [5])
        assert row is not None
        assert row.observed_ms >= run.started_ms  # a complete run freshens what did not change


@pytest.mark.req("2.26")
async def test_a_failure_is_tried_again_and_goes_on_at_the_checkpoint(tmp_path: Path) -> None:
    feed = Feed(people(35), breaks=[2, 1])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        third, second, first = await exchange.ended(3)
        assert [run.state for run in (first, second, third)] == ["failed", "failed", "succeeded"]
        assert [run.attempt for run in (first, second, third)] == [1, 2, 3]
        assert [run.rows for run in (first, second, third)] == [20, 10, 5]
        assert first.reason == "the sales system at 10.0.0.1:1433 does not answer"
        assert feed.cursors == [None, {"value": 19}, {"value": 29}]
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(35)}


@pytest.mark.req("2.26")
async def test_after_three_attempts_it_stops_until_somebody_asks(tmp_path: Path) -> None:
    feed = Feed(people(5), breaks=[0, 0, 0])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        await exchange.ended(3)
        await asyncio.sleep(0.3)
        assert len(await exchange.states.runs()) == 3
        exchange.runner.run_now("load")
        runs = await exchange.ended(4)
        assert (runs[0].state, runs[0].attempt) == ("succeeded", 1)


@pytest.mark.req("2.22")
async def test_bad_rows_are_kept_and_the_run_is_partial(tmp_path: Path) -> None:
    feed = Feed([(1, "a", 1), ("x", "b", 2), (3, "c", 3)])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        (run,) = await exchange.ended()
        assert (run.state, run.rows, run.bad_rows) == ("partial", 2, 1)
        assert run.batch_id.startswith("SYNC20")
        (bad,) = await exchange.quarantine.rows()
        assert (bad.reason, bad.place, bad.batch_id) == ("id: expected an integer, got 'x'", "row 2", run.batch_id)
        assert (bad.raw, bad.columns) == (b'["x","b",2]', ("id", "name", "changed"))
        assert await exchange.mirrored() == {1: "a", 3: "c"}


@pytest.mark.req("2.11")
async def test_a_run_shows_its_progress_and_can_be_cancelled(tmp_path: Path) -> None:
    feed = Feed(people(35), hangs=True)
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        async with asyncio.timeout(60):
            while not feed.acknowledged:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        live = exchange.runner.live()
        assert (live["load"].expected, live["load"].state) == (35, "running")
        exchange.runner.cancel("load")
        (run,) = await exchange.ended()
        assert (run.state, run.reason, run.rows) == ("cancelled", "cancelled by an operator", 10)
        with pytest.raises(NotFound, match="load is not running"):
            exchange.runner.cancel("load")
        await asyncio.sleep(0.2)
        assert len(await exchange.states.runs()) == 1
        feed.hangs = False
        exchange.runner.run_now("load")
        newest, _ = await exchange.ended(2)
        assert (newest.state, newest.rows) == ("succeeded", 25)
        assert len(await exchange.mirrored()) == 35


async def test_a_reload_starts_ends_and_changes_jobs(tmp_path: Path) -> None:
    feed = Feed(people(5))
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(enabled=False))
        with pytest.raises(NotFound, match="no enabled job load"):
            exchange.runner.run_now("load")
        exchange.runner.reload(platform(schedule=Schedule(every_s=0.1)))
        await exchange.ended(3)
        exchange.runner.reload(Platform())
        async with asyncio.timeout(60):
            while exchange.runner.live():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        count = len(await exchange.states.runs())
        await asyncio.sleep(0.3)
        assert len(await exchange.states.runs()) == count


async def test_what_the_end_of_the_node_cut_off_goes_on_where_it_stood(tmp_path: Path) -> None:
    feed = Feed(people(35), hangs=True)
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        while not feed.acknowledged:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    feed.hangs = False
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        newest, first = await exchange.ended(2)
        assert (first.state, first.reason, newest.state) == ("failed", INTERRUPTED, "succeeded")
        assert (first.rows, newest.rows) == (10, 25)
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(35)}


async def test_an_adapter_that_breaks_its_contract_fails_its_run_in_the_sync_log(tmp_path: Path) -> None:
    class Broken(Feed):
        async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
            raise ZeroDivisionError("an adapter's own fault")

    faults: list[BaseException] = []
    async with exchange_on(tmp_path, Broken(people(5)), faults=faults) as exchange:
        exchange.runner.reload(platform())
        run = (await exchange.ended())[-1]
    assert (run.state, run.ended_ms is not None) == ("failed", True)
    assert run.reason == "an internal fault; the log of the back office tells more"
    assert isinstance(faults[0], ZeroDivisionError)
