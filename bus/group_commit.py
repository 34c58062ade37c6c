"""One writing thread on a SQLite file: calls that overlap share a transaction, so that they share its wait for the disk."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.errors import InvalidInput, NotConnected, PlatformError, Unavailable
from core.lane import Lane
from core.supervise import Tasks
from storage.wal import is_full, use_wal

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_BUSY_TIMEOUT_S = 10.0
_MAX_BATCH = 512
_DAMAGED = "database_damaged"
_Outcome = tuple[Any, PlatformError | None]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's exceptions as Unavailable that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if is_full(error):
            text = f"no room is left on the disk of the bus's file {path.name}: free some, nothing was changed"
            raise Unavailable(text, code="disk_full") from error
        raise Unavailable(f"the bus's file {path}: {error}{_advice(str(error))}") from error
    except sqlite3.DataError as error:
        raise InvalidInput(f"the bus can't store this: {error}") from error
    except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
        raise Unavailable(
            f"the bus's file {path} is damaged or no SQLite database ({error}); nothing was deleted: "
            "restore it from a backup, or move it away together with its -wal and -shm files and start again with an empty bus",
            code=_DAMAGED,
        ) from error


def _advice(text: str) -> str:
    if "unable to open" in text or "readonly" in text:
        return "; the folder must exist, and folder and file must be writable for this user"
    return ""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may be handed between threads, used by one at a time, with transactions begun by hand."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        use_wal(connection, within_s=_BUSY_TIMEOUT_S)
        connection.execute("PRAGMA synchronous = FULL")
        # The commit that copies the write-ahead log into the file takes some 10 ms; at 32 MB it is one in many.
        connection.execute("PRAGMA wal_autocheckpoint = 8192")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class _Job:
    def __init__(self, work: Work[Any], *, is_synced: bool) -> None:
        self.work = work
        self.is_synced = is_synced
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def finish(self, result: object, error: BaseException | None) -> None:
        if self.done.done():  # its caller was cancelled meanwhile
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class GroupCommit:
    """Runs pieces of work on one connection, in the order they were given.

    A piece raises a PlatformError before it has written anything, or none: the others of its transaction are committed.
    """

    def __init__(self, path: Path, tasks: Tasks) -> None:
        self._path = path
        self._tasks = tasks
        self._thread = Lane("bus-write")
        self._pending: list[_Job] = []
        self._flushing: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_synced: bool | None = None
        self._is_closed = False

    async def open(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Open the file, and prepare it in a transaction of its own."""
        await self._thread.run(partial(self._open, prepare))

    def _open(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        with translated(self._path):
            self._connection = connect(self._path)
        self._transact([prepare], is_synced=True)

    async def run(self, work: Work[T], *, is_synced: bool) -> T:
        """The result of `work` once it is committed; `is_synced`: once it would outlive a power cut, else only a killed process."""
        if self._is_closed:
            raise NotConnected("the bus was closed")
        job = _Job(work, is_synced=is_synced)
        self._pending.append(job)
        if self._flushing is None:
            self._flushing = self._tasks.spawn(self._flush(), name="bus group commit")
        result: T = await job.done
        return result

    async def _flush(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
                try:
                    outcomes = await self._thread.run(partial(self._commit, batch))
                except BaseException as error:
                    failure = error if isinstance(error, Exception) else NotConnected("the bus was closed")
                    for job in batch:
                        job.finish(None, failure)
                    raise
                for job, (result, failed) in zip(batch, outcomes, strict=True):
                    job.finish(result, failed)
        finally:
            self._flushing = None

    def _commit(self, batch: list[_Job]) -> list[_Outcome]:
        try:
            return self._transact([job.work for job in batch], is_synced=any(job.is_synced for job in batch))
        except PlatformError as error:
            is_for_all = error.retry and error.specific_code != _DAMAGED  # locked or full: each alone would wait as long
            if len(batch) == 1 or is_for_all:
                return [(None, error)] * len(batch)
        # One of them can't be written: each on its own, so that it fails alone.
        return [outcome for job in batch for outcome in self._commit([job])]

    def _transact(self, works: list[Work[Any]], *, is_synced: bool) -> list[_Outcome]:
        connection = self._connection
        if connection is None:
            raise NotConnected(f"the bus's file {self._path} is not open")
        with translated(self._path):
            if is_synced is not self._is_synced:
                connection.execute(f"PRAGMA synchronous = {'FULL' if is_synced else 'NORMAL'}")
                self._is_synced = is_synced
            connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [_attempt(work, connection) for work in works]
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return outcomes

    async def close(self) -> None:
        """Commit what was given, then end the thread. Idempotent."""
        self._is_closed = True
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._thread.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _attempt(work: Work[Any], connection: sqlite3.Connection) -> _Outcome:
    try:
        return work(connection), None
    except PlatformError as error:
        return None, error
