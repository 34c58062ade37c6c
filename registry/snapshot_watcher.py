"""Follows the registry's revision and gives each new snapshot; survives database outages and snapshots that can't be built."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from core.adapter import Adapter
from core.errors import PlatformError, Unavailable
from core.stores import Resources
from registry.snapshot import Snapshot, build_snapshot
from registry.snapshot_file import SnapshotFile
from registry.vault import Vault

_ANSWER_WITHIN_S = 5.0  # a database that takes the question and never answers counts as down
_LONGEST_WAIT_S = 5.0

T = TypeVar("T")
Report = Callable[[str], None]


def _log(text: str) -> None:
    logging.getLogger("registry").warning(text)


async def _in_time(question: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            return await question
    except TimeoutError as error:
        raise Unavailable(f"the registry's database did not answer within {_ANSWER_WITHIN_S:g} s") from error


class SnapshotWatcher:
    """One of these a process: `current` once, then `changes`. `report` gets one line a mishap, not one an attempt."""

    def __init__(
        self,
        resources: Resources,
        file: SnapshotFile,
        vault: Vault,
        adapters: Mapping[str, Adapter],
        interval_s: float = 0.25,
        *,
        report: Report = _log,
    ) -> None:
        self._resources = resources
        self._file = file
        self._vault = vault
        self._adapters = adapters
        self._interval_s = interval_s
        self._report = report
        self._seen: int | None = None
        self._last: Snapshot | None = None
        self._is_told = asyncio.Event()
        self._is_down = False

    async def current(self) -> Snapshot:
        """The registry's snapshot; where that can't be had, the file's. Raises the registry's error where neither can."""
        try:
            snapshot = await self._built()
        except PlatformError as error:
            loaded, reason = await self._file.load(self._adapters)
            if loaded is None:
                self._report(reason)
                raise
            self._is_down = error.retry
            self._report(f"starting from the snapshot of revision {loaded.revision} on disk: {error.detail}")
            self._seen, self._last = loaded.revision, loaded
            return loaded
        self._seen, self._last = snapshot.revision, snapshot
        await self._save(snapshot)
        return snapshot

    async def changes(self) -> AsyncGenerator[Snapshot, None]:
        """Each new snapshot, for ever; it is written to the file when the next one is asked for, or at the end. While the database
        is down it asks ever more seldom, at most every 5 s."""
        wait_s = self._interval_s
        while True:
            await self._pause(wait_s)
            try:
                snapshot = await self._newer()
            except PlatformError as error:
                self._down(error)
                wait_s = min(wait_s * 2, max(_LONGEST_WAIT_S, self._interval_s))
                continue
            wait_s = self._interval_s
            if snapshot is not None:
                self._seen, self._last = snapshot.revision, snapshot
                try:
                    yield snapshot
                finally:  # once it runs: to write ten thousand routes takes longer than to take them over
                    await self._save(snapshot)

    def tell(self) -> None:
        """Somebody says that the registry has changed: it is asked at once, not after the interval."""
        self._is_told.set()

    async def _pause(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._is_told.wait()
        self._is_told.clear()

    async def _newer(self) -> Snapshot | None:
        """None while nothing moved, and for a revision that can't be built, which is not tried again. Raises on an outage."""
        revision = await _in_time(self._resources.revision())
        self._up()
        if revision == self._seen:
            return None
        try:
            return await self._built()
        except PlatformError as error:
            if error.retry:
                raise
            self._seen = revision
            self._report(f"revision {revision} of the registry can't be run, the one before stays: {error.detail}")
            return None

    async def _built(self) -> Snapshot:
        return await _in_time(build_snapshot(self._resources, self._vault, self._adapters, before=self._last))

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            await self._file.save(snapshot)
        except Unavailable as error:
            self._report(
                f"revision {snapshot.revision} runs, but a restart while the database is down would miss it: {error.detail}"
            )

    def _down(self, error: PlatformError) -> None:
        if not self._is_down:
            self._is_down = True
            self._report(f"the registry can't be reached, revision {self._seen} stays: {error.detail}")

    def _up(self) -> None:
        if self._is_down:
            self._is_down = False
            self._report("the registry is back")
