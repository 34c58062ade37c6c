"""Collection jobs over real stores and the embedded bus: full, then increments; failure, cancel, crash; nothing lost or doubled."""

import asyncio
from pathlib import Path

import pytest

from config.model import Platform, Retry, Schedule
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


@pytest.mark.req("0.41")
async def test_what_a_whole_full_load_does_not_find_any_more_leaves_the_mirror(tmp_path: Path) -> None:
    feed = Feed(people(35))
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(mode="full", vanished="remove"))
        await exchange.ended()
        feed.rows, feed.breaks = people(32), [2]  # cut off once: both runs together are the load
        exchange.runner.run_now("load")
        newest, cut_off, _ = await exchange.ended(3)
        assert (newest.state, cut_off.state, newest.rows + cut_off.rows) == ("succeeded", "failed", 32)
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(32)}
        feed.rows = people(10)
        exchange.runner.run_now("load")
        await exchange.ended(4)
        assert len(await exchange.mirrored()) == 32, "two thirds at once are no deletion but an accident"
        (dead,) = await exchange.bus.dead_letters()
        assert "22 of 32 rows were not in the full load, more than 20%: they stay" in dead.cause


async def test_while_a_row_of_the_load_is_bad_nothing_is_taken_for_vanished(tmp_path: Path) -> None:
    feed = Feed(people(30))
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(mode="full", vanished="remove"))
        await exchange.ended()
        feed.rows = [*people(28), ("x", "bad", 28)]
        exchange.runner.run_now("load")
        run, _ = await exchange.ended(2)
        assert (run.state, run.reason) == ("partial", "rows in quarantine: what has vanished at the source was not looked for")
        assert len(await exchange.mirrored()) == 30


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


async def _first_batch(feed: Feed, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(feed.acknowledged) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.req("2.11")
async def test_a_paused_run_ends_behind_its_batch_stays_so_over_a_restart_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    feed = Feed(people(35), hangs=True)
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(mode="full"))
        await _first_batch(feed)
        await exchange.runner.pause("load")
        feed.hangs = False
        (run,) = await exchange.ended()
        assert (run.state, run.reason) == ("paused", "paused by an operator")
        stored = run.rows
        assert 10 <= stored < 35
        exchange.runner.run_now("load")
        await asyncio.sleep(0.2)
        assert len(await exchange.states.runs()) == 1
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(mode="full"))
        await asyncio.sleep(0.3)
        assert len(await exchange.states.runs()) == 1
        await exchange.runner.resume("load")
        newest, _ = await exchange.ended(2)
        assert (newest.state, newest.rows) == ("succeeded", 35 - stored)
        assert await exchange.mirrored() == {n: f"人{n}" for n in range(35)}
        with pytest.raises(NotFound):
            await exchange.runner.pause("nonsense")


async def test_a_full_load_that_was_cut_off_goes_on_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    feed = Feed(people(35), breaks=[2])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(mode="full"))
        await exchange.ended(2)
        exchange.runner.run_now("load")
        third, second, first = await exchange.ended(3)
        assert [(run.state, run.rows) for run in (first, second, third)] == [("failed", 20), ("succeeded", 15), ("succeeded", 35)]
        assert feed.cursors == [None, {"value": 19}, None]


async def test_paused_while_it_waits_for_its_next_attempt_it_is_not_tried_again(tmp_path: Path) -> None:
    feed = Feed(people(5), breaks=[0, 0, 0])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform(retry=Retry(attempts=3, delay_s=600)))
        await exchange.ended(1)
        await exchange.runner.pause("load")
        await asyncio.sleep(0.2)
        assert len(await exchange.states.runs()) == 1
        await exchange.runner.resume("load")
        exchange.runner.run_now("load")
        runs = await exchange.ended(2)
        assert runs[0].state == "failed"


async def test_a_node_that_stood_still_can_t_set_back_whom_its_job_was_given_to(tmp_path: Path) -> None:
    feed = Feed(people(35), hangs=True)
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        await _first_batch(feed)
        taker = await exchange.states.begin("load", day="20240510")  # what another node does once the lease is over
        await exchange.states.progress(taker, {"value": 30})
        feed.hangs = False
        runs = await exchange.ended(3)
        assert any("another node has taken it over" in run.reason for run in runs) or runs[-1].reason == INTERRUPTED
        assert feed.cursors == [None, {"value": 30}], "its next attempt goes on where the other stood"
