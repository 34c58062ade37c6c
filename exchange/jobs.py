"""The scheduler of collection jobs: one supervised loop a job, retries, lease, live progress (requirements 0.41, 2.11, 2.26)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile

import structlog

from config.model import Job, Platform
from core.adapter import Connection, Source
from core.bus import Transport
from core.clock import Clock, epoch_ms
from core.errors import ConfigError, Conflict, NotFound, PlatformError
from core.schema import Dataset
from core.stores import INTERRUPTED, JobStates, Quarantine, Run
from core.supervise import Tasks
from exchange.alerts import Alerts
from exchange.backfill import Backfill, chosen_fields, part_of
from exchange.collection import LEASE_S, Collection, PausedError, until
from exchange.drift import Evolve, Watch
from exchange.intake import Intake
from exchange.schedule import next_due

_log = structlog.get_logger("exchange.jobs")
Connections = Callable[[str], Connection]
_PAUSED_LOOK_S = 5.0  # another node may have been told to resume it
_LOOKED_BACK = 50
_CUT_OFF = ("running", "failed", "cancelled", "paused")
"""A full load that ended so is gone on with at its checkpoint, not begun anew."""


class _Loop:
    """One job's loop: its task, the wish to run now, and the run under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.wanted = asyncio.Event()
        self.resumed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.run: Run | None = None
        self.is_cancelled = False  # an operator cancelled the run, not the platform the loop
        self.is_pausing = False  # the run under way is to end behind its batch
        self.backfill: tuple[str, ...] = ()  # fields that are to be loaded anew before the next run


class JobRunner:
    """Runs the jobs of the platform that this node leads. `connections(source)` gives a guarded connection."""

    def __init__(
        self,
        *,
        connections: Connections,
        bus: Transport,
        states: JobStates,
        quarantine: Quarantine,
        tasks: Tasks,
        clock: Clock,
        owner: str,
        alerts: Alerts | None = None,
        evolve: Evolve | None = None,
    ) -> None:
        self._connections = connections
        self._bus = bus
        self._states = states
        self._quarantine = quarantine
        self._tasks = tasks
        self._clock = clock
        self._owner = owner
        self._alerts = alerts
        self._evolve = evolve
        self._loops: dict[str, _Loop] = {}
        self._datasets: Mapping[str, Dataset] = {}

    def reload(self, platform: Platform) -> None:
        """Start jobs that are new, end those that are gone or switched off, restart those that have changed."""
        self._datasets = datasets_of(platform)
        if self._alerts is not None:
            self._alerts.reload(platform)
        wanted = {name: job for name, job in platform.jobs.items() if job.enabled}
        for name, loop in list(self._loops.items()):
            if wanted.get(name) != loop.job:
                self._stop(self._loops.pop(name))
        for name, job in wanted.items():
            if name not in self._loops:
                loop = self._loops[name] = _Loop(job)
                loop.task = self._tasks.keep(partial(self._follow, name, loop), name=f"job {name}")

    def _stop(self, loop: _Loop) -> None:
        if loop.task is not None:
            loop.task.cancel()

    def live(self) -> dict[str, Run]:
        """The runs under way by job."""
        return {name: loop.run for name, loop in self._loops.items() if loop.run is not None}

    def run_now(self, name: str) -> None:
        """Run at once, or once more after the run under way. NotFound for a job this node does not run."""
        self._loop(name).wanted.set()

    def backfill(self, name: str, fields: Sequence[str]) -> None:
        """Load these fields of the job's dataset anew, behind the run under way, its checkpoint left alone. NotFound for a job this
        node does not run, InvalidInput for fields that can't be loaded so, Conflict while another backfill waits."""
        loop = self._loop(name)
        chosen = chosen_fields(self._datasets[loop.job.dataset], fields)
        if loop.backfill:
            raise Conflict(f"job {name}: a backfill of {', '.join(loop.backfill)} is not through yet")
        loop.backfill = chosen
        loop.wanted.set()

    def cancel(self, name: str) -> None:
        """End the run under way; what it has stored stays, and the next run goes on there. NotFound if none runs."""
        loop = self._loop(name)
        if loop.run is None or loop.task is None:
            raise NotFound(f"job {name} is not running")
        loop.is_cancelled = True
        loop.task.cancel()

    async def pause(self, name: str) -> None:
        """Let no run begin, on any node and also after a restart, and end the run under way behind its batch. NotFound for a job
        that this node does not run."""
        loop = self._loop(name)
        await self._states.pause(name)
        loop.is_pausing = True
        loop.wanted.set()  # where it waits, it looks again

    async def resume(self, name: str) -> None:
        """Back to its schedule; a run that was paused goes on at once where it stood."""
        loop = self._loop(name)
        await self._states.resume(name)
        loop.is_pausing = False
        loop.resumed.set()

    def _loop(self, name: str) -> _Loop:
        if name not in self._loops:
            raise NotFound(f"there is no enabled job {name}")
        return self._loops[name]

    async def _follow(self, name: str, loop: _Loop) -> None:
        has_run = False
        while True:
            if name in await self._states.paused():
                await until(loop.resumed, _PAUSED_LOOK_S)
                loop.resumed.clear()
                continue
            due = await self._due(name, loop.job, has_run=has_run)
            delay_s = None if due is None else max(0.0, (due - self._clock.now()).total_seconds())
            await until(loop.wanted, delay_s)
            loop.wanted.clear()
            if name in await self._states.paused():
                continue
            if await self._states.lease(name, owner=self._owner, ttl_s=LEASE_S):
                if loop.backfill:
                    await self._backfill(name, loop)
                else:
                    await self._attempts(name, loop)
                    has_run = True
            else:
                await asyncio.sleep(LEASE_S / 3)

    async def _due(self, name: str, job: Job, *, has_run: bool) -> datetime | None:
        runs = await self._loads(name)
        if runs and runs[0].state == "paused":
            return self._clock.now()
        if has_run and job.schedule.once:
            return None  # it has used up its attempts, or was cancelled: it waits for a person (or the next start)
        last_start = datetime.fromtimestamp(runs[0].started_ms / 1000, UTC) if runs else None
        has_succeeded = any(run.state in ("succeeded", "partial") for run in runs)
        if runs and (runs[0].state == "running" or runs[0].reason == INTERRUPTED):
            return self._clock.now()  # a run that a crash or the platform's own end cut off goes on at once
        return next_due(job.schedule, now=self._clock.now(), last_start=last_start, has_succeeded=has_succeeded)

    async def _loads(self, name: str) -> list[Run]:
        """The job's own runs, without backfills, newest first."""
        return [run for run in await self._states.runs(job=name, limit=_LOOKED_BACK) if not run.backfill]

    async def _backfill(self, name: str, loop: _Loop) -> None:
        """One attempt: whoever asked for it sees how it ended."""
        try:
            await self._once(name, loop, 1)
        finally:
            loop.backfill = ()

    async def _attempts(self, name: str, loop: _Loop) -> None:
        """One run and its retries (requirement 2.26). A wish to run now shortens the wait."""
        retry = loop.job.retry
        for attempt in range(1, retry.attempts + 1):
            run = await self._once(name, loop, attempt)
            if self._alerts is not None:
                await self._alerts.followed(loop.job, run, is_last=attempt == retry.attempts)
            if run.state != "failed" or attempt == retry.attempts:
                return
            await until(loop.wanted, retry.delay_s)
            loop.wanted.clear()
            if name in await self._states.paused() or not await self._states.lease(name, owner=self._owner, ttl_s=LEASE_S):
                return

    async def _once(self, name: str, loop: _Loop, attempt: int) -> Run:
        """The run, when it has ended."""
        cut_off = await self._cut_off(name)
        is_fresh = loop.job.mode == "full" and not cut_off
        day = self._clock.now().astimezone().strftime("%Y%m%d")
        run = loop.run = await self._states.begin(name, day=day)
        run.attempt, run.backfill = attempt, loop.backfill
        try:
            await self._collect(run, loop, is_fresh=is_fresh)
            await self._sweep(run, loop.job, cut_off)
            run.state = "partial" if run.bad_rows else "succeeded"
        except PausedError:
            run.state, run.reason = "paused", "paused by an operator"
        except PlatformError as error:
            run.state, run.reason = "failed", error.detail
        except asyncio.CancelledError:
            if not loop.is_cancelled:
                run.state, run.reason = "failed", INTERRUPTED
                await asyncio.shield(self._end(run, loop))
                raise
            _take_back_cancellation()
            run.state, run.reason = "cancelled", "cancelled by an operator"
        finally:
            if run.state == "running":  # a fault of ours or of an adapter: the loop's keeper logs it, the sync log says so
                run.state, run.reason = "failed", "an internal fault; the log of the back office tells more"
                await self._end(run, loop)
        await self._end(run, loop)
        return run

    async def _cut_off(self, name: str) -> list[Run]:
        """The newest runs of this job that did not come to an end, newest first: what the next one goes on with."""
        return list(takewhile(lambda run: run.state in _CUT_OFF, await self._loads(name)))

    async def _sweep(self, run: Run, job: Job, cut_off: list[Run]) -> None:
        """Behind a whole full load, which may have taken several runs: what it did not find goes. Not where a row of it was bad,
        for that one is there, nor where its beginning is not known any more."""
        if job.mode != "full" or job.vanished == "keep" or run.backfill:
            return
        runs = [run, *cut_off]
        if any(each.bad_rows for each in runs):
            run.reason = "rows in quarantine: what has vanished at the source was not looked for"
        elif len(cut_off) < _LOOKED_BACK:
            await self._intake_of(run, job).sweep(since_ms=runs[-1].started_ms, max_share=job.vanished_max_share)

    def _intake_of(self, run: Run, job: Job) -> Intake:
        dataset = self._datasets[job.dataset]
        return Intake(job.dataset, dataset, job=run.job, batch_id=run.batch_id, bus=self._bus, quarantine=self._quarantine)

    async def _end(self, run: Run, loop: _Loop) -> None:
        run.ended_ms = epoch_ms()
        loop.run, loop.is_cancelled = None, False
        await self._states.progress(run, None)
        log = _log.warning if run.state == "failed" else _log.info
        log(
            "job ended",
            job=run.job,
            batch_id=run.batch_id,
            state=run.state,
            rows=run.rows,
            bad_rows=run.bad_rows,
            reason=run.reason,
        )

    async def _collect(self, run: Run, loop: _Loop, *, is_fresh: bool) -> None:
        job = loop.job
        dataset = self._datasets[job.dataset]
        source_name = job.dataset.partition(".")[0]
        source = self._connections(source_name)
        if not isinstance(source, Source):
            raise ConfigError(f"source {source_name} can't be read in bulk")
        intake = partial(Intake, job.dataset, job=run.job, batch_id=run.batch_id, bus=self._bus, quarantine=self._quarantine)
        if run.backfill:
            part = part_of(dataset, run.backfill)
            backfill = Backfill(run, source, part, intake(part, op="patch"), self._states, self._keep(run))
            await backfill.collect(batch_rows=job.batch_rows)
            return

        def make_intake(dataset: Dataset, known: Sequence[str]) -> Intake:
            return intake(dataset, known=known)

        watch = Watch(run.job, job, self._states, self._alerts, self._evolve)
        collection = Collection(
            run,
            source,
            dataset,
            make_intake,
            self._states,
            self._clock,
            watch,
            owner=self._owner,
            is_pausing=lambda: loop.is_pausing,
        )
        await collection.collect(is_fresh=is_fresh, batch_rows=job.batch_rows)

    def _keep(self, run: Run) -> Callable[[], Awaitable[bool]]:
        return partial(self._states.lease, run.job, owner=self._owner, ttl_s=LEASE_S)


def _take_back_cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def datasets_of(platform: Platform) -> dict[str, Dataset]:
    """All datasets by `<source>.<dataset>`."""
    return {f"{name}.{key}": dataset for name, source in platform.sources.items() for key, dataset in source.datasets.items()}
