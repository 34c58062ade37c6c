"""Checkpoints, leases and the sync log of jobs, on any core.database (requirement 2.22)."""

import time
from contextlib import suppress

import msgspec

from core.clock import epoch_ms
from core.database import Database
from core.errors import Conflict
from core.records import Cursor
from core.stores import INTERRUPTED, JobStates, Run, SchemaReport

_BATCH = "batch"


class SqlJobStates:
    """See core.stores.JobStates. Runs are kept as JSON; what they are looked up by has a column."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the tables."""
        column = self._database.dialect.column
        key, integer, blob = column("key"), column("integer"), column("blob")
        async with self._database.transaction() as session:
            await session.execute(f"CREATE TABLE IF NOT EXISTS job_checkpoint (job {key} PRIMARY KEY, body {blob} NOT NULL)")
            await session.execute(
                f"CREATE TABLE IF NOT EXISTS job_lease (job {key} PRIMARY KEY, owner {key} NOT NULL, until_ms {integer} NOT NULL)"
            )
            await session.execute(
                f"CREATE TABLE IF NOT EXISTS job_run (batch_id {key} PRIMARY KEY, job {key} NOT NULL, day {key} NOT NULL, "
                f"number {integer} NOT NULL, started {integer} NOT NULL, body {blob} NOT NULL)"
            )
            await session.execute(f"CREATE TABLE IF NOT EXISTS job_schema (job {key} PRIMARY KEY, body {blob} NOT NULL)")
            await session.execute(f"CREATE TABLE IF NOT EXISTS job_pause (job {key} PRIMARY KEY, at_ms {integer} NOT NULL)")
            await session.execute(f"CREATE TABLE IF NOT EXISTS job_batch (name {key} PRIMARY KEY, number {integer} NOT NULL)")
            if not await session.query("SELECT 1 FROM job_batch WHERE name = ?", (_BATCH,)):
                with suppress(Conflict):  # another node has made it since
                    await session.execute("INSERT INTO job_batch (name, number) VALUES (?, 0)", (_BATCH,))
            await session.execute(self._database.dialect.index("job_run", "job", "key"))
            await session.execute(self._database.dialect.index("job_run", "day", "key"))

    async def checkpoint(self, job: str) -> Cursor | None:
        rows = await self._database.query("SELECT body FROM job_checkpoint WHERE job = ?", (job,))
        return msgspec.json.decode(rows[0][0]) if rows else None

    async def begin(self, job: str, *, day: str) -> Run:
        async with self._database.transaction() as session:
            # This row lets one node in at a time: two that took the same number would both be refused by the key.
            await session.execute("UPDATE job_batch SET number = number + 1 WHERE name = ?", (_BATCH,))
            sql = "SELECT body FROM job_run WHERE job = ? ORDER BY started DESC, number DESC LIMIT 1"
            for (body,) in await session.query(sql, (job,)):
                last = msgspec.json.decode(body, type=Run)
                if last.state == "running":
                    last.state, last.reason, last.ended_ms = "failed", INTERRUPTED, epoch_ms()
                    sql = "UPDATE job_run SET body = ? WHERE batch_id = ?"
                    await session.execute(sql, (msgspec.json.encode(last), last.batch_id))
            number = (await session.query("SELECT coalesce(max(number), 0) + 1 FROM job_run WHERE day = ?", (day,)))[0][0]
            run = Run(batch_id=f"SYNC{day}{number:03d}", job=job, state="running", started_ms=epoch_ms())
            sql = "INSERT INTO job_run (batch_id, job, day, number, started, body) VALUES (?, ?, ?, ?, ?, ?)"
            await session.execute(sql, (run.batch_id, job, day, number, run.started_ms, msgspec.json.encode(run)))
        return run

    async def progress(self, run: Run, cursor: Cursor | None) -> None:
        async with self._database.transaction() as session:
            sql = "UPDATE job_run SET body = ? WHERE batch_id = ?"
            await session.execute(sql, (msgspec.json.encode(run), run.batch_id))
            if cursor is not None:
                newest = "SELECT batch_id FROM job_run WHERE job = ? ORDER BY started DESC, number DESC LIMIT 1"
                if await session.query(newest, (run.job,)) != [(run.batch_id,)]:
                    # One that stood still for longer than its lease must not set back whom it was given to.
                    raise Conflict(f"job {run.job}: another node has taken it over")
                await session.execute(
                    "REPLACE INTO job_checkpoint (job, body) VALUES (?, ?)", (run.job, msgspec.json.encode(cursor))
                )

    async def runs(self, *, job: str | None = None, limit: int = 50) -> list[Run]:
        condition, params = ("WHERE job = ?", (job,)) if job else ("", ())
        sql = f"SELECT body FROM job_run {condition} ORDER BY started DESC, number DESC LIMIT ?"  # noqa: S608
        return [msgspec.json.decode(body, type=Run) for (body,) in await self._database.query(sql, (*params, limit))]

    async def lease(self, job: str, *, owner: str, ttl_s: float) -> bool:
        for _ in range(2):
            try:
                return await self._lease(job, owner, ttl_s)
            except Conflict:
                continue  # another call was quicker, perhaps one of the same owner: now there is a row to look at
        return False

    async def _lease(self, job: str, owner: str, ttl_s: float) -> bool:
        now_ms = epoch_ms()
        until_ms = now_ms + int(ttl_s * 1000)
        async with self._database.transaction() as session:
            sql = "UPDATE job_lease SET owner = ?, until_ms = ? WHERE job = ? AND (owner = ? OR until_ms < ?)"
            if await session.execute(sql, (owner, until_ms, job, owner, now_ms)):
                return True
            # MariaDB counts a row that is set to what it was as not changed: the owner decides.
            for (holder,) in await session.query("SELECT owner FROM job_lease WHERE job = ?", (job,)):
                return bool(holder == owner)
            await session.execute("INSERT INTO job_lease (job, owner, until_ms) VALUES (?, ?, ?)", (job, owner, until_ms))
        return True

    async def reset(self, job: str) -> None:
        async with self._database.transaction() as session:
            await session.execute("DELETE FROM job_checkpoint WHERE job = ?", (job,))

    async def schema(self, job: str) -> SchemaReport | None:
        rows = await self._database.query("SELECT body FROM job_schema WHERE job = ?", (job,))
        return msgspec.json.decode(rows[0][0], type=SchemaReport) if rows else None

    async def keep_schema(self, report: SchemaReport) -> None:
        async with self._database.transaction() as session:
            await session.execute("REPLACE INTO job_schema (job, body) VALUES (?, ?)", (report.job, msgspec.json.encode(report)))

    async def pause(self, job: str) -> None:
        async with self._database.transaction() as session:
            await session.execute("REPLACE INTO job_pause (job, at_ms) VALUES (?, ?)", (job, epoch_ms()))

    async def resume(self, job: str) -> None:
        async with self._database.transaction() as session:
            await session.execute("DELETE FROM job_pause WHERE job = ?", (job,))

    async def paused(self) -> frozenset[str]:
        return frozenset(job for (job,) in await self._database.query("SELECT job FROM job_pause"))


def day_of(moment_s: float | None = None) -> str:
    """`YYYYMMDD` in local time: the middle of a batch id."""
    return time.strftime("%Y%m%d", time.localtime(moment_s))


def _conforms(states: SqlJobStates) -> JobStates:
    return states
