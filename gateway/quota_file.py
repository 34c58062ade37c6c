"""Calendar quotas of a node without Redis outlive its process: each worker's counts in one file of the data folder.

Written anew every few seconds where anything was counted: a worker that is killed loses at most that many seconds of counts.
"""

import asyncio
import os
from pathlib import Path

import msgspec
import structlog

from cache.limiter_memory import Counts, MemoryLimiter

EVERY_S = 2.0
_log = structlog.get_logger("gateway.quota_file")
_Document = tuple[int, Counts]
_VERSION = 1


class QuotaFile:
    """One worker's file at `path`; nobody else writes it."""

    def __init__(self, path: Path, limiter: MemoryLimiter) -> None:
        self._path = path
        self._limiter = limiter
        self._written = limiter.dirty

    def load(self) -> None:
        """Take up what an earlier process has counted. A file that can't be read is set aside and said in the log: quotas then
        begin afresh, which is better than a gateway that does not start."""
        try:
            version, counts = msgspec.msgpack.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            _log.error("the file of quotas can't be read; they begin afresh", file=str(self._path), detail=str(error))
            self._set_aside()
            return
        if version == _VERSION:
            self._limiter.restore(counts)
        else:
            _log.error("the file of quotas is of another version; they begin afresh", file=str(self._path), version=version)

    def _set_aside(self) -> None:
        try:
            self._path.replace(self._path.with_suffix(".damaged"))
        except OSError as error:
            _log.error("the damaged file of quotas can't be moved", file=str(self._path), detail=str(error))

    async def keep(self, *, every_s: float = EVERY_S) -> None:
        """Save again and again, and once more when it is cancelled. A disk that is full is said in the log; counting goes on."""
        try:
            while True:
                await asyncio.sleep(every_s)
                await self._save_changes()
        finally:
            self.save()

    async def _save_changes(self) -> None:
        dirty = self._limiter.dirty
        if dirty != self._written and await asyncio.to_thread(self._write, self._limiter.counts()):
            self._written = dirty

    def save(self) -> None:
        """At once, in this thread: at the end of a process."""
        if self._limiter.dirty != self._written and self._write(self._limiter.counts()):
            self._written = self._limiter.dirty

    def _write(self, counts: Counts) -> bool:
        """Whole or not at all: a new file takes the old one's place."""
        draft = self._path.with_name(f".{self._path.name}.draft")
        try:
            with draft.open("wb") as file:
                file.write(msgspec.msgpack.encode((_VERSION, counts)))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            _log.error("quotas can't be saved", file=str(self._path), detail=error.strerror)
            return False
        return True
