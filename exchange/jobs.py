"""The scheduler of collection jobs: one supervised loop a job, retries, lease, live progress (requirements 0.41, 2.11, 2.26)."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

import structlog

from config.model import Job, Platform
from core.adapter import Connection, Source
from core.bus import Transport
from core.clock import Clock, epoch_ms
from core.errors import ConfigError, NotFound, PlatformError
from core.schema import Dataset
from core.stores import INTERRUPTED, JobStates, Quarantine, Run
from core.supervise import Tasks
from exchange.collection import LEASE_S, Collection, until
from exchange.intake import Intake
from exchange.schedule import next_due

_log = structlog.get_logger("exchange.jobs")
Connections = Callable[[str], Connection]


class _Loop:
    """One job's loop: its task, the wish to run now, and the run under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.wanted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.run: Run | None = None
        self.is_cancelled = False  # an operator cancelled the run, not the platform the loop


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
    ) -> None:
        self._connections = connections
        self._bus = bus
        self._states = states
        self._quarantine = quarantine
        self._tasks = tasks
        self._clock = clock
        self._owner = owner
        self._loops: dict[str, _Loop] = {}
        self._datasets: Mapping[str, Dataset] = {}

    def reload(self, platform: Platform) -> None:
        """Start jobs that are new, end those that are gone or switched off, restart those that have changed."""
        self._datasets = datasets_of(platform)
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

    def cancel(self, name: str) -> None:
        """End the run under way; what it has stored stays, and the next run goes on there. NotFound if none runs."""
        loop = self._loop(name)
        if loop.run is None or loop.task is None:
            raise NotFound(f"job {name} is not running")
        loop.is_cancelled = True
        loop.task.cancel()

    def _loop(self, name: str) -> _Loop:
        if name not in self._loops:
            raise NotFound(f"there is no enabled job {name}")
        return self._loops[name]

    async def _follow(self, name: str, loop: _Loop) -> None:
        has_run = False
        while True:
            # A job that runs once and has used up its attempts, or was cancelled, waits for a person (or the next start).
            due = None if has_run and loop.job.schedule.once else await self._due(name, loop.job)
            delay_s = None if due is None else max(0.0, (due - self._clock.now()).total_seconds())
            await until(loop.wanted, delay_s)
            loop.wanted.clear()
            if await self._states.lease(name, owner=self._owner, ttl_s=LEASE_S):
                await self._attempts(name, loop)
                has_run = True
            else:
                await asyncio.sleep(LEASE_S / 3)

    async def _due(self, name: str, job: Job) -> datetime | None:
        runs = await self._states.runs(job=name, limit=20)
        last_start = datetime.fromtimestamp(runs[0].started_ms / 1000, UTC) if runs else None
        has_succeeded = any(run.state in ("succeeded", "partial") for run in runs)
        if runs and (runs[0].state == "running" or runs[0].reason == INTERRUPTED):
            return self._clock.now()  # a run that a crash or the platform's own end cut off goes on at once
        return next_due(job.schedule, now=self._clock.now(), last_start=last_start, has_succeeded=has_succeeded)

    async def _attempts(self, name: str, loop: _Loop) -> None:
        """One run and its retries (requirement 2.26). A wish to run now shortens the wait."""
        retry = loop.job.retry
        for attempt in range(1, retry.attempts + 1):
            if await self._once(name, loop, attempt) or attempt == retry.attempts:
                return
            await until(loop.wanted, retry.delay_s)
            loop.wanted.clear()
            if not await self._states.lease(name, owner=self._owner, ttl_s=LEASE_S):
                return

    async def _once(self, name: str, loop: _Loop, attempt: int) -> bool:
        """True when the run needs no retry."""
        day = self._clock.now().astimezone().strftime("%Y%m%d")
        run = loop.run = await self._states.begin(name, day=day)
        run.attempt = attempt
        try:
            await self._collect(run, loop.job)
            run.state = "partial" if run.bad_rows else "succeeded"
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
        return run.state != "failed"

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

    async def _collect(self, run: Run, job: Job) -> None:
        dataset = self._datasets[job.dataset]
        source_name = job.dataset.partition(".")[0]
        source = self._connections(source_name)
        if not isinstance(source, Source):
            raise ConfigError(f"source {source_name} can't be read in bulk")
        intake = Intake(job.dataset, dataset, job=run.job, batch_id=run.batch_id, bus=self._bus, quarantine=self._quarantine)
        collection = Collection(run, source, dataset, intake, self._states, self._clock, owner=self._owner)
        await collection.collect(is_full=job.mode == "full", batch_rows=job.batch_rows)


def _take_back_cancellation() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def datasets_of(platform: Platform) -> dict[str, Dataset]:
    """All datasets by `<source>.<dataset>`."""
    return {f"{name}.{key}": dataset for name, source in platform.sources.items() for key, dataset in source.datasets.items()}
