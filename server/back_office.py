"""The back office: control plane (API and console), jobs and recovery in one process; deliveries have their own.

Never in a gateway's process, whose latency they would spoil. Run by the supervisor as `python -m server.back_office`.
"""

import asyncio
import sys
import time

from core.clock import epoch_ms
from core.schema import Dataset
from core.stores import Run
from exchange.alerts import Alerts
from exchange.evolution import Evolution
from exchange.jobs import JobRunner, datasets_of
from exchange.reconcile import Reconciler
from exchange.replay import Replay
from exchange.services.transactions import Transactions
from exchange.services.writes import STUCK_AFTER_MS, Completion, recover
from gateway.traffic import Traffic
from registry.registry import Registry
from registry.snapshot import Snapshot
from server import child as process
from server.access import Access, open_access
from server.child import Child
from server.data_services import make_services, make_tiers, make_transactions, prepare_mirror
from server.delivery_process import MIRROR
from server.heartbeat import beat
from server.parts import BACK_OFFICE, Parts, open_parts
from server.sample import apply_sample
from server.snapshots import follow, watcher_of
from server.sources import SourcePool

_RECOVER_EVERY_S = 5.0
_KEEP_JOURNAL_MS = 24 * 3600 * 1000
_FIRST_LOAD_S = 60.0


class _Office:
    """Holds what a reload replaces."""

    def __init__(self, parts: Parts, child: Child, registry: Registry) -> None:
        self.parts = parts
        self.pool = SourcePool(parts.adapters, parts.clock, child.tasks)
        self.tiers = make_tiers(parts)
        self.alerts = Alerts(parts.incidents, parts.job_states, owner=parts.node, bus=parts.bus)
        self.runner = JobRunner(
            connections=self.pool.get,
            bus=parts.bus,
            states=parts.job_states,
            quarantine=parts.quarantine,
            tasks=child.tasks,
            clock=parts.clock,
            owner=parts.node,
            alerts=self.alerts,
            evolve=Evolution(registry),
        )
        self.snapshot: Snapshot | None = None
        self.completions: dict[str, Completion] = {}
        self.transactions: Transactions | None = None
        self.started_ms = epoch_ms()

    @property
    def revision(self) -> int:
        return self.snapshot.revision if self.snapshot else 0

    def datasets(self) -> dict[str, Dataset]:
        return datasets_of(self.snapshot.platform) if self.snapshot else {}

    async def load(self, snapshot: Snapshot) -> None:
        await prepare_mirror(snapshot.platform, self.parts)
        self.pool.reload(snapshot.platform)
        made = make_services(snapshot.platform, self.parts, self.pool, self.tiers)
        self.completions, self.transactions = made.completions, make_transactions(made, self.parts)
        self.snapshot = snapshot
        self.runner.reload(snapshot.platform)

    async def recover(self) -> None:
        """Finish the writes that a crash left; forget the settled ones after a day."""
        while True:
            now_ms = epoch_ms()
            await recover(self.parts.journal, self.completions, older_than_ms=now_ms - STUCK_AFTER_MS)
            if self.transactions is not None:
                await self.transactions.recover()
            await self.parts.journal.trim(older_than_ms=now_ms - _KEEP_JOURNAL_MS)
            await self.parts.sagas.trim(older_than_ms=now_ms - _KEEP_JOURNAL_MS)
            await asyncio.sleep(_RECOVER_EVERY_S)


async def main(child: Child) -> None:
    parts = await open_parts(child.settings, child.stack, role=BACK_OFFICE)
    access = await open_access(parts)
    office = _Office(parts, child, access.registry)
    child.stack.push_async_callback(office.pool.close)
    sample = await _sample(child, parts, access)
    watcher = watcher_of(parts, "-back-office")
    # Declared here too, before the first job: a subscription receives only what is published after it was declared.
    await (await parts.bus.subscribe(MIRROR)).close()
    await office.load(await watcher.current())
    child.tasks.keep(lambda: follow(watcher, office.load), name="snapshot")
    child.tasks.keep(office.recover, name="recovery")
    child.tasks.keep(office.alerts.keep, name="alerts")
    child.tasks.keep(lambda: beat(parts, "back-office", lambda: office.revision, Traffic()), name="heartbeat")
    replay = Replay(parts.quarantine, parts.bus, office.datasets)
    comparison = Reconciler(office.pool.get, parts.mirror, office.datasets, child.tasks)
    from server.console_server import serve_console  # heavy: the jobs have begun by now

    await serve_console(child, parts, access, jobs=office.runner, comparison=comparison, sources=office.pool, replay=replay)
    child.ready(password=access.new_password, sample=sample)
    child.tasks.spawn(_tell_first_load(child, office), name="first load")
    await child.stopping.wait()


async def _sample(child: Child, parts: Parts, access: Access) -> object:
    if "--sample" not in sys.argv:
        return None
    variables = await child.message()
    return await apply_sample(access.registry, access.credentials, variables, parts.adapters)


async def _tell_first_load(child: Child, office: _Office) -> None:
    """Progress of the first runs to the supervisor, which shows it; ends when each job has run once and all is mirrored."""
    until = time.monotonic() + _FIRST_LOAD_S
    wanted = set(office.snapshot.platform.jobs) if office.snapshot else set()
    told: dict[str, tuple[str, int]] = {}
    while time.monotonic() < until:
        runs: dict[str, Run] = {run.job: run for run in reversed(await office.parts.job_states.runs(limit=200))}
        for job, run in runs.items():
            if run.started_ms >= office.started_ms and told.get(job) != (run.state, run.rows):
                told[job] = (run.state, run.rows)
                child.tell(
                    "job", job=job, state=run.state, rows=run.rows, bad=run.bad_rows, expected=run.expected, reason=run.reason
                )
        have_ended = all(job in runs and runs[job].state != "running" for job in wanted)
        if have_ended and not (await office.parts.bus.depth()).get(MIRROR.name):
            break
        await asyncio.sleep(0.2)
    child.tell("loaded")


if __name__ == "__main__":
    sys.exit(process.run(main, process="back-office"))
