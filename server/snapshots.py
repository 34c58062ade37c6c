"""A process follows the registry: each new snapshot is loaded; one that can't be is refused and the old one stays."""

from collections.abc import Awaitable, Callable

import structlog

from core.errors import PlatformError
from registry.snapshot import Snapshot
from registry.snapshot_file import SnapshotFile
from registry.snapshot_watcher import SnapshotWatcher
from server.parts import Parts

_log = structlog.get_logger("server.snapshots")
Load = Callable[[Snapshot], Awaitable[None]]


def watcher_of(parts: Parts, name: str) -> SnapshotWatcher:
    """The process's watcher; `name` tells its file on disk from those of the node's other kinds of process."""
    file = SnapshotFile(parts.settings.data_dir / f"snapshot{name}.sealed", parts.vault)
    return SnapshotWatcher(parts.resources, file, parts.vault, parts.adapters)


async def follow(watcher: SnapshotWatcher, load: Load) -> None:
    """Until cancelled."""
    async for snapshot in watcher.changes():
        try:
            await load(snapshot)
        except PlatformError as error:
            _log.error("a snapshot was refused, the old one stays", revision=snapshot.revision, detail=error.detail)
