"""Several writes as one: all applied, or those that were are taken back (a saga, Garcia-Molina and Salem 1987; DESIGN §4, kind b).

Before a step touches its source, the record as it was is durable here; behind it, what it has become. So whoever goes on after a
crash can tell whether the step was done, and what taking it back means. A record that another has changed since is never
overwritten: the transaction is then stuck, and a person decides. Others see the steps one by one: there is no isolation.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import structlog

from core.adapter import Lookup, Writer
from core.clock import epoch_ms
from core.errors import ConfigError, Conflict, InvalidInput, NotFound, PlatformError, Unavailable
from core.ids import new_id
from core.incidents import Incidents
from core.schema import Dataset, Record
from core.service import Caller, Write
from core.stores import Saga, Sagas, SagaStep
from exchange.conversion import Conversion
from exchange.jobs import Connections
from exchange.services.key_locks import KeyLocks
from exchange.services.keys import parse_key
from exchange.services.records import RecordService
from exchange.services.tiers import Tiers
from exchange.services.writes import REFUSALS, Completion, checked

_log = structlog.get_logger("exchange.transactions")
_ENCODER = msgspec.json.Encoder()
MAX_STEPS = 20
GIVE_UP_MS = 60_000
"""A step whose source can't be had for so long is refused, and what was applied before it taken back."""


@dataclass(frozen=True, slots=True)
class Party:
    """A service that takes part: its dataset, what may be written, and how the others hear of it."""

    name: str
    table: str  # the dataset's name in its source
    dataset: Dataset
    writable: tuple[str, ...]
    source: str
    connections: Connections
    completion: Completion
    reader: RecordService
    locks: KeyLocks
    tiers: Tiers

    @property
    def tag(self) -> str:
        """What an invalidation names."""
        return f"{self.source}.{self.table}"

    def connection(self) -> Any:
        """Of the source, which must be readable by key and writable."""
        connection = self.connections(self.source)
        if not isinstance(connection, Writer) or not isinstance(connection, Lookup):
            raise ConfigError(f"source {self.source} can't take part in a transaction: it is not read and written by key")
        return connection

    async def row(self, step: SagaStep) -> Record | None:
        """The record as the source has it now."""
        rows = await self.connection().fetch(self.dataset, step.key)
        if rows is None:
            return None
        converted = Conversion(self.dataset).rows(rows)
        if not converted.rows:
            raise InvalidInput(f"{self.name}: the record at the source can't be read: {converted.bad[0].reason}")
        return dict(zip(self.dataset.columns, converted.rows[0], strict=True))

    async def apply(self, step: SagaStep) -> None:
        if step.op == "delete":
            await self.connection().delete(self.dataset, step.key)
        else:
            await self.connection().upsert(self.dataset, step.key, step.changes)

    async def take_back(self, step: SagaStep) -> None:
        """Make the record what it was; it is what the step has made of it."""
        if step.before is None:
            await self.connection().delete(self.dataset, step.key)
            return
        names = step.changes if step.op == "upsert" else [name for name in self.dataset.given if name not in self.dataset.key]
        await self.connection().upsert(self.dataset, step.key, {name: step.before[name] for name in names})

    async def tell(self, saga: Saga, step: SagaStep, row: Record | None) -> None:
        """Mirror and publish what the source has now."""
        op: Literal["upsert", "delete"] = "delete" if row is None else "upsert"
        version = await self.completion.tell(self.connection(), op, step.key, row or {}, source=f"transaction/{saga.id}")
        self.tiers.announce(self.tag, version)


class StuckError(Exception):
    """A step can't be taken back: another has changed the record since."""


class Transactions:
    """Begins transactions and brings them to their end. `owner` names this process; one process at a time works on each."""

    def __init__(self, parties: Mapping[str, Party], store: Sagas, incidents: Incidents, *, owner: str) -> None:
        self._parties = parties
        self._store = store
        self._incidents = incidents
        self._owner = owner

    async def begin(self, writes: Sequence[tuple[str, Write]], once: str, caller: Caller) -> Saga:
        """Do all of them, in order; `writes` are pairs of service and write. The saga done, or refused and taken back.

        InvalidInput, NotFound or Conflict for what is refused before anything was sent. Unavailable (`transaction_pending`) where
        it goes on without the caller.
        """
        if not 2 <= len(writes) <= MAX_STEPS:
            raise InvalidInput(f"a transaction has 2 to {MAX_STEPS} steps, got {len(writes)}")
        saga = Saga(new_id("tx_"), caller.app, once, _fingerprint(writes), [self._step(*each) for each in writes], epoch_ms())
        places = sorted({(name, write.key) for name, write in writes})
        if len(places) < len(writes):
            raise InvalidInput("a transaction writes each record once; join the steps of the same record")
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(caller.deadline - time.monotonic()):  # only the wait is bounded
                    for name, key in places:  # in one order, so that no two transactions wait for each other
                        await held.enter_async_context(self._party(name).locks.hold(key))
            except TimeoutError:
                raise Unavailable(
                    "earlier writes of these records are still under way; nothing was done", code="write_queued"
                ) from None
            known = await self._accepted(saga, writes, caller)
            if known.id == saga.id:
                await self._advance(known)
        if known.fingerprint != saga.fingerprint:
            raise Conflict("this Idempotency-Key was used for another request", code="idempotency_key_reused")
        if known.state in ("open", "undoing"):
            text = f"transaction {known.id} was accepted and will be completed or taken back; ask for it again"
            raise Unavailable(text, code="transaction_pending")
        return known

    async def look(self, saga_id: str, caller: Caller) -> Saga:
        """A transaction of this app. NotFound for every other."""
        saga = await self._store.get(saga_id)
        if saga is None or saga.app != caller.app:
            raise NotFound(f"there is no transaction {saga_id[:64]}")
        return saga

    async def recover(self) -> int:
        """Go on with what other processes have forsaken; how many came to an end."""
        ended = 0
        for saga_id in await self._store.forsaken():
            saga = await self._store.claim(saga_id, owner=self._owner)
            if saga is not None:
                await self._advance(saga)
                ended += saga.state in ("done", "refused", "stuck")
        return ended

    def _party(self, name: str) -> Party:
        party = self._parties.get(name)
        if party is None:
            raise InvalidInput(f"service {name[:64]!r} takes no part in transactions", code="not_transactional")
        return party

    def _step(self, name: str, write: Write) -> SagaStep:
        party = self._party(name)
        key = parse_key(party.dataset, write.key)
        op = "delete" if write.changes is None else "upsert"
        return SagaStep(name, op, key, checked(party.dataset, party.writable, write.changes or {}))  # type: ignore[arg-type]

    async def _accepted(self, saga: Saga, writes: Sequence[tuple[str, Write]], caller: Caller) -> Saga:
        """Preconditions are judged when it is new, not again when it is repeated."""
        for name, write in writes:
            if write.expected is not None:
                answer = await self._party(name).reader.get(write.key, caller)
                if write.expected not in ("*", answer.etag):
                    raise Conflict(f"{name} {write.key}: the record has changed since you read it", code="etag_mismatch")
        return await self._store.accept(saga, owner=self._owner)

    async def _advance(self, saga: Saga) -> None:
        """As far as it goes now. Left under way where a source or a part of the platform can't be had: recovery goes on."""
        try:
            if saga.state == "open":
                await self._forward(saga)
            if saga.state == "undoing":
                await self._back(saga)
        except PlatformError as error:
            _log.warning("transaction is pending", transaction=saga.id, state=saga.state, reason=error.detail)
        else:
            _log.info("transaction ended", transaction=saga.id, app=saga.app, state=saga.state, reason=saga.reason)

    async def _forward(self, saga: Saga) -> None:
        for number, step in enumerate(saga.steps):
            try:
                await self._take(saga, step)
            except REFUSALS as error:
                await self._refuse(saga, number, error)
                return
            except PlatformError as error:
                if epoch_ms() - saga.at_ms < GIVE_UP_MS:
                    raise
                await self._refuse(saga, number, error)
                return
        for step in saga.steps:
            await self._party(step.service).tell(saga, step, step.after)
        saga.state = "done"
        await self._save(saga)

    async def _take(self, saga: Saga, step: SagaStep) -> None:
        party = self._party(step.service)
        if step.state == "waiting":
            step.before = await party.row(step)
            step.state = "applying"
            await self._save(saga)
        if step.state == "applying":
            await party.apply(step)
            step.after = await party.row(step)
            step.state = "applied"
            await self._save(saga)

    async def _refuse(self, saga: Saga, number: int, error: PlatformError) -> None:
        saga.state, saga.failed, saga.code = "undoing", number, error.specific_code
        saga.reason = f"step {number + 1} ({saga.steps[number].service}): {error.detail}"
        await self._save(saga)

    async def _back(self, saga: Saga) -> None:
        """The last one first. A step that was being applied when it broke off may have been or not: the record tells."""
        for step in reversed(saga.steps):
            if step.state not in ("applying", "applied"):
                continue
            try:
                party = self._party(step.service)
                if _is_ours(step, await party.row(step)):
                    await party.take_back(step)
            except (StuckError, *REFUSALS) as error:
                saga.state = "stuck"
                saga.reason += f"; {step.service} {list(step.key.values())} can't be taken back: {error}"
                await self._incidents.raised("transaction_stuck", saga.id, saga.reason, contact="")
                await self._save(saga)
                return
            await party.tell(saga, step, step.before)
            step.state = "undone"
            await self._save(saga)
        saga.state = "refused"
        await self._save(saga)

    async def _save(self, saga: Saga) -> None:
        await self._store.save(saga, owner=self._owner)


def _is_ours(step: SagaStep, now: Record | None) -> bool:
    """Whether the record is what the step made of it; False where it is as it was before. StuckError where it is neither."""
    written = None if step.op == "delete" else {**(step.before or step.key), **step.changes}
    made = step.after if step.state == "applied" else written
    names = list(step.changes) if step.op == "upsert" else None
    if _same(now, step.before, names):
        return False
    if _same(now, made, names):
        return True
    raise StuckError("another has changed the record since; it is left as it is")


def _same(one: Record | None, other: Record | None, names: Sequence[str] | None) -> bool:
    """Alike in these fields, or in all; a record that is not there is like no other."""
    if one is None or other is None:
        return one is other
    return one == other if names is None else all(one.get(name) == other.get(name) for name in names)


def _fingerprint(writes: Sequence[tuple[str, Write]]) -> str:
    parts: list[Any] = [
        (name, write.key, sorted(write.changes.items()) if write.changes is not None else None, write.expected)
        for name, write in writes
    ]
    return hashlib.sha256(_ENCODER.encode(parts)).hexdigest()
