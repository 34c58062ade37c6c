"""The back office: control plane (API and console) and workers (jobs, deliveries, recovery) in one process.

Never in a gateway's process, whose latency they would spoil. Run by the supervisor as `python -m server.back_office`.
"""

import asyncio
import sys
import time

import structlog

from bus.delivery import Draining, deliver
from core.bus import Subscription
from core.clock import epoch_ms
from core.errors import PlatformError
from core.stores import Run
from exchange.jobs import JobRunner, datasets_of
from exchange.replay import Replay
from exchange.services.writes import STUCK_AFTER_MS, Completion, recover
from exchange.sinks import MirrorSink
from gateway.traffic import Traffic
from registry.snapshot import Snapshot
from registry.snapshot_file import SnapshotFile
from registry.snapshot_watcher import SnapshotWatcher
from server import child as process
from server.access import Access, open_access
from server.child import Child
from server.data_services import make_services, make_tiers, prepare_mirror
from server.heartbeat import beat
from server.parts import BACK_OFFICE, Parts, open_parts
from server.sample import apply_sample
from server.sources import SourcePool

_log = structlog.get_logger("server.back_office")
MIRROR = "mirror"  # the subscription that keeps the mirror
_RECOVER_EVERY_S = 5.0
_KEEP_JOURNAL_MS = 24 * 3600 * 1000
_FIRST_LOAD_S = 60.0


class _Office:
    """Holds what a reload replaces."""

    def __init__(self, parts: Parts, child: Child) -> None:
        self.parts = parts
        self.pool = SourcePool(parts.adapters, parts.clock, child.tasks)
        self.tiers = make_tiers(parts)
        self.runner = JobRunner(
            connections=self.pool.get,
            bus=parts.bus,
            states=parts.job_states,
            quarantine=parts.quarantine,
            tasks=child.tasks,
            clock=parts.clock,
            owner=parts.node,
        )
        self.snapshot: Snapshot | None = None
        self.completions: dict[str, Completion] = {}
        self.started_ms = epoch_ms()

    @property
    def revision(self) -> int:
        return self.snapshot.revision if self.snapshot else 0

    async def load(self, snapshot: Snapshot) -> None:
        await prepare_mirror(snapshot.platform, self.parts)
        self.pool.reload(snapshot.platform)
        self.completions = make_services(snapshot.platform, self.parts, self.pool, self.tiers).completions
        self.snapshot = snapshot
        self.runner.reload(snapshot.platform)

    async def follow(self, watcher: SnapshotWatcher) -> None:
        async for snapshot in watcher.changes():
            try:
                await self.load(snapshot)
            except PlatformError as error:
                _log.error("a snapshot was refused, the old one stays", revision=snapshot.revision, detail=error.detail)

    async def recover(self) -> None:
        """Finish the writes that a crash left; forget the settled ones after a day."""
        while True:
            now_ms = epoch_ms()
            await recover(self.parts.journal, self.completions, older_than_ms=now_ms - STUCK_AFTER_MS)
            await self.parts.journal.trim(older_than_ms=now_ms - _KEEP_JOURNAL_MS)
            await asyncio.sleep(_RECOVER_EVERY_S)


async def main(child: Child) -> None:
    parts = await open_parts(child.settings, child.stack, role=BACK_OFFICE)
    office = _Office(parts, child)
    child.stack.push_async_callback(office.pool.close)
    access = await open_access(parts)
    sample = await _sample(child, parts, access)
    file = SnapshotFile(child.settings.data_dir / "snapshot-back-office.sealed", parts.vault)
    watcher = SnapshotWatcher(parts.resources, file, parts.vault, parts.adapters)
    draining = Draining()
    mirror = await parts.bus.subscribe(Subscription(name=MIRROR, pattern="#", max_attempts=10))
    await office.load(await watcher.current())
    sink = MirrorSink(parts.mirror, parts.bus, node=parts.node)
    delivery = child.tasks.keep(lambda: deliver(mirror, sink, draining=draining), name="mirror")
    child.tasks.keep(lambda: office.follow(watcher), name="snapshot")
    child.tasks.keep(office.recover, name="recovery")
    child.tasks.keep(lambda: beat(parts, "back-office", lambda: office.revision, Traffic()), name="heartbeat")
    replay = Replay(parts.quarantine, parts.bus, lambda: datasets_of(office.snapshot.platform) if office.snapshot else {})
    from server.console_server import serve_console  # heavy: the jobs have begun by now

    await serve_console(child, parts, access, jobs=office.runner, sources=office.pool, replay=replay)
    child.tell("ready", password=access.new_password, sample=sample)
    child.tasks.spawn(_tell_first_load(child, office), name="first load")
    await child.stopping.wait()
    draining.begin()
    await asyncio.wait([delivery], timeout=child.settings.drain_s)


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
        if have_ended and not (await office.parts.bus.depth()).get(MIRROR):
            break
        await asyncio.sleep(0.2)
    child.tell("loaded")


if __name__ == "__main__":
    sys.exit(process.run(main, process="back-office"))
