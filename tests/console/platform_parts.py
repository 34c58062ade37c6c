"""A real platform for tests of the console and the command line: a back office's parts in a folder, without its loops."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from argon2 import PasswordHasher

from config.settings import Settings
from console.api.control import Control
from core.clock import SystemClock
from core.schema import Dataset
from core.secret import Secret
from core.supervise import Tasks
from exchange.jobs import JobRunner, datasets_of
from exchange.reconcile import Reconciler
from exchange.replay import Replay
from registry.app_sessions import Revoker, SqlAppSessions
from registry.credentials import Credentials
from registry.passwords import Passwords
from registry.purges import Purger, SqlPurges
from registry.registry import Registry
from registry.snapshot import build_snapshot
from registry.users import Users
from server.parts import Parts, open_parts
from server.sources import SourcePool
from storage.usage import SqlUsage

PASSWORD = "a long enough password"


@dataclass
class Platform:
    """The control, what stands behind it, and what the back office does with each snapshot."""

    control: Control
    parts: Parts
    pool: SourcePool
    runner: JobRunner
    datasets: dict[str, Dataset] = field(default_factory=dict)

    async def reload(self) -> None:
        """Let jobs, sources and replay see what was declared."""
        snapshot = await build_snapshot(self.parts.resources, self.parts.vault, self.parts.adapters)
        self.pool.reload(snapshot.platform)
        self.runner.reload(snapshot.platform)
        self.datasets.clear()
        self.datasets.update(datasets_of(snapshot.platform))


@asynccontextmanager
async def open_platform(folder: Path) -> AsyncIterator[Platform]:
    """With the users operator and eve (a viewer), both with PASSWORD. Fails if a background task failed."""
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=folder, master_key=Secret("k" * 44), public_url="http://127.0.0.1:8080", bus_keep_s=3600)
        parts = await open_parts(settings, stack, role="back-office")
        # The cheapest argon2: what it costs is tested with the registry.
        users = Users(parts.resources, parts.database, passwords=Passwords(PasswordHasher(1, 8, 1)))
        failures: list[str] = []
        tasks = Tasks(lambda task, error: failures.append(f"{task}: {error!r}"))
        stack.push_async_callback(tasks.close)
        pool = SourcePool(parts.adapters, SystemClock(), tasks)
        stack.push_async_callback(pool.close)
        runner = JobRunner(
            connections=pool.get,
            bus=parts.bus,
            states=parts.job_states,
            quarantine=parts.quarantine,
            tasks=tasks,
            clock=SystemClock(),
            owner="test",
        )
        datasets: dict[str, Dataset] = {}
        await SqlUsage(parts.database).prepare()
        await users.create("operator", Secret(PASSWORD), "operator", actor="test")
        await users.create("eve", Secret(PASSWORD), "viewer", actor="test")
        comparison = Reconciler(pool.get, parts.mirror, lambda: datasets, tasks)
        yield Platform(_control(parts, users, runner, comparison, pool, datasets), parts, pool, runner, datasets)
        assert failures == []


def _control(
    parts: Parts, users: Users, runner: JobRunner, comparison: Reconciler, pool: SourcePool, datasets: Mapping[str, Dataset]
) -> Control:
    sessions = SqlAppSessions(parts.database)
    return Control(
        registry=Registry(parts.resources, parts.vault, parts.adapters),
        credentials=Credentials(parts.resources, parts.vault),
        users=users,
        job_states=parts.job_states,
        quarantine=parts.quarantine,
        incidents=parts.incidents,
        sagas=parts.sagas,
        nodes=parts.nodes,
        app_sessions=sessions,
        revoker=Revoker(sessions, parts.bus, node="back-office"),
        purger=Purger(SqlPurges(parts.database), parts.bus, node="back-office"),
        mirror=parts.mirror,
        bus=parts.bus,
        jobs=runner,
        comparison=comparison,
        sources=pool,
        quarantine_replay=Replay(parts.quarantine, parts.bus, lambda: datasets),
        parts=parts,
        gateway_url=parts.settings.public_url,
        version="0.1.0",
        adapters=parts.adapters,
        usage=SqlUsage(parts.database),
        metrics_folder=parts.settings.data_dir / "metrics",
    )
