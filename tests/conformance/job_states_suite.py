"""What every implementation of core.stores.JobStates must do. A test module makes `states` a fixture and inherits."""

import asyncio

import pytest

from core.errors import Conflict
from core.schema import SourceColumn
from core.stores import INTERRUPTED, JobStates, SchemaEvent, SchemaReport

DAY = "20240510"


class JobStatesSuite:
    """`states` is empty at the start of each test."""

    async def test_a_batch_id_is_sync_day_and_number(self, states: JobStates) -> None:
        runs = [await states.begin("a", day=DAY), await states.begin("b", day=DAY), await states.begin("a", day="20240511")]
        assert [run.batch_id for run in runs] == ["SYNC20240510001", "SYNC20240510002", "SYNC20240511001"]

    async def test_batch_ids_stay_unique_when_jobs_begin_at_once(self, states: JobStates) -> None:
        runs = await asyncio.gather(*(states.begin(f"job{n}", day=DAY) for n in range(20)))
        assert sorted(run.batch_id for run in runs) == [f"SYNC20240510{n:03d}" for n in range(1, 21)]

    async def test_a_run_that_still_runs_has_failed_when_the_next_begins(self, states: JobStates) -> None:
        await states.begin("a", day=DAY)
        other = await states.begin("b", day=DAY)
        await states.begin("a", day=DAY)
        newest, first = await states.runs(job="a")
        assert (newest.state, first.state, first.reason) == ("running", "failed", INTERRUPTED)
        assert first.ended_ms is not None
        assert [run.state for run in await states.runs(job=other.job)] == ["running"]

    async def test_progress_and_checkpoint_are_stored_together(self, states: JobStates) -> None:
        run = await states.begin("a", day=DAY)
        assert await states.checkpoint("a") is None
        run.rows, run.bad_rows, run.expected = 500, 2, 1000
        await states.progress(run, {"value": "2024-05-10T08:30:00", "files": ["张三.csv", 7]})
        assert await states.checkpoint("a") == {"value": "2024-05-10T08:30:00", "files": ["张三.csv", 7]}
        assert await states.checkpoint("b") is None
        assert await states.runs(job="a") == [run]
        run.state, run.ended_ms = "partial", run.started_ms + 5
        await states.progress(run, None)
        assert await states.checkpoint("a") == {"value": "2024-05-10T08:30:00", "files": ["张三.csv", 7]}
        assert await states.runs(job="a") == [run]

    async def test_reset_forgets_the_checkpoint_of_that_job(self, states: JobStates) -> None:
        for job in ("a", "b"):
            await states.progress(await states.begin(job, day=DAY), {"n": 1})
        await states.reset("a")
        assert (await states.checkpoint("a"), await states.checkpoint("b")) == (None, {"n": 1})

    async def test_the_checkpoint_of_a_run_that_was_taken_over_is_refused_whole(self, states: JobStates) -> None:
        stalled = await states.begin("a", day=DAY)
        await states.progress(stalled, {"n": 1})
        taker = await states.begin("a", day=DAY)
        await states.begin("b", day=DAY)
        stalled.rows = 99
        with pytest.raises(Conflict, match="job a: another node has taken it over"):
            await states.progress(stalled, {"n": 2})
        assert await states.checkpoint("a") == {"n": 1}
        assert (await states.runs(job="a"))[1].rows == 0
        await states.progress(taker, {"n": 3})
        assert await states.checkpoint("a") == {"n": 3}

    async def test_the_last_comparison_of_columns_is_kept_by_job(self, states: JobStates) -> None:
        assert await states.schema("a") is None
        columns = (SourceColumn("id", "integer", "int(11)"), SourceColumn("名称"))
        first = SchemaReport("a", "crm.person", 1, "f", columns, columns, events=(SchemaEvent(1, "new at the source: 名称"),))
        await states.keep_schema(first)
        assert await states.schema("a") == first
        second = SchemaReport("a", "crm.person", 2, "g", columns, columns[:1], removed=("名称",))
        await states.keep_schema(second)
        assert (await states.schema("a"), await states.schema("b")) == (second, None)

    async def test_jobs_are_paused_until_they_are_resumed(self, states: JobStates) -> None:
        assert await states.paused() == frozenset()
        for job in ("a", "b", "a"):
            await states.pause(job)
        assert await states.paused() == {"a", "b"}
        for job in ("a", "never", "a"):
            await states.resume(job)
        assert await states.paused() == {"b"}

    async def test_runs_come_newest_first_and_not_more_than_asked(self, states: JobStates) -> None:
        ids = [(await states.begin(job, day=DAY)).batch_id for job in ("a", "b", "a", "c")]
        assert [run.batch_id for run in await states.runs()] == ids[::-1]
        assert [run.batch_id for run in await states.runs(job="a", limit=1)] == [ids[2]]

    async def test_a_lease_is_taken_over_after_it_ended_and_not_before(self, states: JobStates) -> None:
        assert await states.lease("a", owner="n1", ttl_s=2.0)
        assert not await states.lease("a", owner="n2", ttl_s=30)
        assert await states.lease("b", owner="n2", ttl_s=30)
        assert await states.lease("a", owner="n1", ttl_s=0.3)  # it may also ask for less
        await asyncio.sleep(0.35)
        assert await states.lease("a", owner="n2", ttl_s=30)
        assert not await states.lease("a", owner="n1", ttl_s=30)

    async def test_the_owner_may_ask_again_in_the_same_moment(self, states: JobStates) -> None:
        assert all(await asyncio.gather(*(states.lease("a", owner="n1", ttl_s=30) for _ in range(10))))

    async def test_of_many_who_want_a_new_lease_one_gets_it(self, states: JobStates) -> None:
        for job in ("a", "b", "c"):
            got = await asyncio.gather(*(states.lease(job, owner=f"n{n}", ttl_s=30) for n in range(8)))
            assert sum(got) == 1
