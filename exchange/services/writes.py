"""Kind b: a write applied at the source, mirrored and published, once (requirement 0.42).

The steps are journaled: accepted (durable, before anything is sent) → applied (at the source, in its own transaction) → done
(in the mirror and on the bus). Every step may be repeated: writes are keyed, the mirror and the bus's sinks are idempotent.
What a crash leaves is finished by `Completion.recover`.
"""

import asyncio
import hashlib
import time
from typing import Any, Literal

import msgspec
import structlog

from core.adapter import Connection, Lookup, Writer
from core.bus import Transport
from core.clock import epoch_ms
from core.errors import (
    ConfigError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from core.ids import new_id
from core.records import ChangeSet
from core.schema import Dataset, Record, Value
from core.service import Answer, Caller, DataService, Write
from core.stores import Journal, JournalEntry, Mirror
from exchange.conversion import Conversion
from exchange.intake import envelope_for
from exchange.jobs import Connections
from exchange.services.key_locks import KeyLocks
from exchange.services.keys import parse_key
from exchange.services.records import RecordService, etag_of
from exchange.services.tiers import Tiers
from exchange.sinks import changed
from exchange.values import converter

_log = structlog.get_logger("exchange.writes")
_ENCODER = msgspec.json.Encoder()
REFUSALS = (InvalidInput, NotFound, Forbidden, Conflict)  # what the source will not do, however often it is asked
STUCK_AFTER_MS = 15_000  # an entry still open after so long was left by a crash, or waits for a source that is down


class Completion:
    """Brings journal entries of one dataset to their end. Shared by the service and by recovery."""

    def __init__(
        self, name: str, dataset: Dataset, *, connections: Connections, journal: Journal, mirror: Mirror, bus: Transport
    ) -> None:
        self._name = name
        self._dataset = dataset
        self._connections = connections
        self._journal = journal
        self._mirror = mirror
        self._bus = bus
        self._conversion = Conversion(dataset)

    async def finish(self, entry: JournalEntry) -> bytes:
        """Do the steps that are missing; gives the record as JSON after them. Raises what the source said."""
        connection = self._connections(self._name.partition(".")[0])
        if not isinstance(connection, Writer):
            raise ConfigError(f"source {self._name.partition('.')[0]} can't be written to")
        if entry.step == "accepted":
            await self._apply(connection, entry)
        try:
            return await self._conclude(connection, entry)
        except PlatformError as error:
            # Whatever it was, it is no refusal any more: the source has the change, and recovery tells the others.
            raise Unavailable(f"applied at the source, not yet mirrored and published: {error.detail}") from error

    async def _conclude(self, connection: Connection, entry: JournalEntry) -> bytes:
        """The steps behind the source."""
        if entry.step == "accepted":
            await self._journal.advance(entry.id, "applied")
        await self.tell(connection, entry.op, entry.key, entry.changes, source=f"write/{entry.id}")
        answer = b"" if entry.op == "delete" else await self._record(entry)
        await self._journal.advance(entry.id, "done", answer=answer)
        return answer

    async def tell(
        self, connection: Connection, op: Literal["upsert", "delete"], key: dict[str, Value], changes: Record, *, source: str
    ) -> int:
        """Mirror and publish what the source now has; the dataset's version then. Idempotent."""
        found = await self._changes(connection, op, key, changes, epoch_ms())
        applied = await self._mirror.apply(found)
        await self._bus.publish([envelope_for(found, source=source)])
        # The mirror's sink will find nothing new in it, so the other nodes' caches hear of it from here.
        await self._bus.publish([changed(self._name, applied.version, node=source)], channel="control")
        return applied.version

    async def _apply(self, connection: Writer, entry: JournalEntry) -> None:
        if entry.op == "delete":
            await connection.delete(self._dataset, entry.key)
        else:
            await connection.upsert(self._dataset, entry.key, entry.changes)

    async def _changes(
        self, connection: Connection, op: Literal["upsert", "delete"], key: dict[str, Value], changes: Record, observed_ms: int
    ) -> ChangeSet:
        """The row as the source has it now (its triggers and defaults included), or what was written where it can't be asked."""
        if op == "delete":
            return ChangeSet(self._name, "delete", tuple(key), [list(key.values())], observed_ms)
        if isinstance(connection, Lookup):
            rows = await connection.fetch(self._dataset, key)
            converted = self._conversion.rows(rows) if rows is not None else None
            if converted is not None and converted.rows:
                return ChangeSet(self._name, "upsert", self._dataset.columns, converted.rows, observed_ms)
        written = {**key, **changes}
        return ChangeSet(self._name, "upsert", tuple(written), [list(written.values())], observed_ms)

    async def _record(self, entry: JournalEntry) -> bytes:
        row = await self._mirror.get(self._name, list(entry.key.values()))
        return _ENCODER.encode(row.record if row else {**entry.key, **entry.changes})


class WriteService:
    """See core.service.DataService: reads go to `reader`, writes through journal and source."""

    def __init__(
        self,
        name: str,
        writable: tuple[str, ...],
        dataset: Dataset,
        reader: RecordService,
        completion: Completion,
        *,
        service: str,
        journal: Journal,
        mirror: Mirror,
        tiers: Tiers,
        locks: KeyLocks | None = None,
    ) -> None:
        self._name = name
        self._writable = writable
        self._dataset = dataset
        self._completion = completion
        self._service = service
        self._journal = journal
        self._mirror = mirror
        self._tiers = tiers
        self._under_way: set[str] = set()
        self._locks = locks or KeyLocks()
        self.get = reader.get
        self.query = reader.query
        self.changes = reader.changes

    async def write(self, write: Write, caller: Caller) -> Answer:
        key = parse_key(self._dataset, write.key)
        entry = JournalEntry(
            id=new_id(),
            service=self._service,
            app=caller.app,
            idempotency_key=write.idempotency_key,
            fingerprint=_fingerprint(self._service, write),
            op="delete" if write.changes is None else "upsert",
            key=key,
            changes=checked(self._dataset, self._writable, write.changes or {}),
            step="accepted",
            at_ms=epoch_ms(),
        )
        try:
            async with asyncio.timeout(caller.deadline - time.monotonic()) as waiting, self._locks.hold(write.key):
                waiting.reschedule(None)  # only the wait is bounded: a write that has begun is never cut off
                return await self._take(entry, write)
        except TimeoutError:
            raise Unavailable("earlier writes of this record are still under way; nothing was done", code="write_queued") from None

    async def _take(self, entry: JournalEntry, write: Write) -> Answer:
        known = await self._accept(entry, write)
        if known.fingerprint != entry.fingerprint:
            raise Conflict("this Idempotency-Key was used for another request", code="idempotency_key_reused")
        return await self._settle(known, is_new=known.id == entry.id)

    async def _accept(self, entry: JournalEntry, write: Write) -> JournalEntry:
        """Preconditions are judged on the mirror when the write is new, not again when it is repeated."""
        if write.expected is None and not write.is_new:
            return await self._journal.accept(entry)
        known = await self._journal.find(entry.app, entry.idempotency_key)
        if known is not None:
            return known
        row = await self._mirror.get(self._name, list(entry.key.values()))
        if write.is_new and row is not None:
            raise Conflict(f"the record {write.key} exists already", code="exists")
        # RFC 9110 §13.1.1; `*` is any record that exists.
        if write.expected is not None and (row is None or write.expected not in ("*", etag_of(row))):
            raise Conflict("the record has changed since you read it; read it again", code="etag_mismatch")
        return await self._journal.accept(entry)

    async def _settle(self, entry: JournalEntry, *, is_new: bool) -> Answer:
        if entry.step == "done":
            return await self._answer(entry.answer)
        if entry.step == "refused":
            raise InvalidInput(entry.answer.decode(), code="refused_by_source")
        if entry.id in self._under_way or (not is_new and epoch_ms() - entry.at_ms < STUCK_AFTER_MS):
            raise Conflict("the first request with this Idempotency-Key is still under way; ask again soon", code="write_under_way")
        self._under_way.add(entry.id)
        try:
            return await self._answer(await self._completion.finish(entry))
        except REFUSALS as error:
            await self._journal.advance(entry.id, "refused", answer=error.detail.encode())
            raise
        except (NotConnected, Unauthenticated, ConfigError):
            # Nothing was done. Withdrawn, so that the same key may be tried again at once.
            await self._journal.withdraw(entry.id)
            raise
        except (Unavailable, DeadlineExceeded) as error:
            _log.warning("write is pending", entry=entry.id, service=entry.service, reason=error.detail)
            text = "the write was accepted and will be completed; ask again with the same Idempotency-Key"
            raise Unavailable(text, code="write_pending") from error
        finally:
            self._under_way.discard(entry.id)

    async def _answer(self, body: bytes) -> Answer:
        version = await self._mirror.version(self._name)
        self._tiers.announce(self._name, version)
        return Answer(body or b"{}", "source", last_version=version, status=200 if body else 204)


def checked(dataset: Dataset, writable: tuple[str, ...], changes: Record) -> dict[str, Value]:
    """Only writable fields, each in its type. InvalidInput names the field."""
    found: dict[str, Value] = {}
    for name, value in changes.items():
        if name not in writable:
            raise InvalidInput(f"{name}: not a field that may be written; those are {', '.join(writable)}")
        try:
            found[name] = converter(dataset.field(name))(value)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"{name}: {error}") from None
    return found


def _fingerprint(service: str, write: Write) -> str:
    parts: list[Any] = [service, write.key, sorted(write.changes.items()) if write.changes is not None else None]
    return hashlib.sha256(_ENCODER.encode(parts)).hexdigest()


async def recover(journal: Journal, completions: dict[str, Completion], *, older_than_ms: int) -> int:
    """Finish what a crash left, oldest first; how many were finished. An entry whose source is still down stays for later."""
    finished = 0
    for entry in await journal.open(older_than_ms=older_than_ms):
        completion = completions.get(entry.service)
        if completion is None:
            if entry.step == "accepted":  # an applied one stays open: the source has it, and the service may come back
                await journal.advance(entry.id, "refused", answer=b"the service no longer exists")
            continue
        try:
            await completion.finish(entry)
            finished += 1
        except REFUSALS as error:
            await journal.advance(entry.id, "refused", answer=error.detail.encode())
        except PlatformError as error:
            _log.warning("write still pending", entry=entry.id, service=entry.service, reason=error.detail)
    return finished


def _conforms(service: WriteService) -> DataService:
    return service
