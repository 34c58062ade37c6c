"""Quarantined rows once more: converted again, and on success published like any other (requirement 0.31)."""

from collections.abc import Callable, Mapping

import msgspec

from core.bus import Transport
from core.clock import epoch_ms
from core.errors import Conflict, InvalidInput, NotFound
from core.records import ChangeSet
from core.schema import Dataset
from core.stores import Quarantine
from exchange.formats.lines import KEPT_BYTES
from exchange.intake import envelope_for, reread


class Replay:
    """`datasets()` gives the datasets declared now: usually it is the declaration that was mended."""

    def __init__(self, quarantine: Quarantine, bus: Transport, datasets: Callable[[], Mapping[str, Dataset]]) -> None:
        self._quarantine = quarantine
        self._bus = bus
        self._datasets = datasets

    async def replay(self, quarantine_id: str, raw: bytes | None = None) -> None:
        """Convert the row's bytes, or the mended `raw`, and publish. InvalidInput where it is still bad: it stays waiting."""
        row = await self._quarantine.get(quarantine_id)
        if row is None:
            raise NotFound(f"quarantine has no row {quarantine_id}")
        if row.state != "waiting":
            raise Conflict(f"row {quarantine_id} was {row.state} already")
        if raw is None and len(row.raw) >= KEPT_BYTES:
            raise InvalidInput(f"of row {quarantine_id} only the beginning was kept: give the mended row whole", code="still_bad")
        dataset = self._datasets().get(row.dataset)
        if dataset is None:
            raise NotFound(f"dataset {row.dataset} is no longer declared")
        converted = reread(dataset, row.raw if raw is None else raw, row.columns)
        if converted.bad or not converted.rows:
            reason = converted.bad[0].reason if converted.bad else "it holds no row"
            raise InvalidInput(f"row {quarantine_id} is still bad: {reason}", code="still_bad")
        changes = ChangeSet(row.dataset, "upsert", dataset.columns, converted.rows, epoch_ms())
        if raw is None:
            # What the source said then must not overwrite what it said since.
            changes = msgspec.structs.replace(changes, observed_ms=row.at_ms)
        await self._bus.publish([envelope_for(changes, source=f"quarantine/{quarantine_id}")])
        await self._quarantine.settle(quarantine_id, "replayed")
