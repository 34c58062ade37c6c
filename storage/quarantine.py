"""Bad rows with their reason and raw bytes, on any core.database. Nothing is ever dropped."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from core.clock import epoch_ms
from core.database import Database
from core.errors import NotFound
from core.records import BadRow
from core.stores import Quarantine, Quarantined

_COLUMNS = ("id", "job", "dataset", "batch_id", "at_ms", "reason", "place", "raw", "column_names", "state")
_NAMES = ", ".join(_COLUMNS)
_SELECT = f"SELECT {_NAMES} FROM quarantine"  # noqa: S608
MAX_RAW_BYTES = 65_536
_ENCODER = msgspec.json.Encoder()


class SqlQuarantine:
    """See core.stores.Quarantine. The id is a digest of dataset, place, reason and bytes: a repeated run adds nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        column = self._database.dialect.column
        kinds = dict.fromkeys(_COLUMNS, "key") | {
            "at_ms": "integer",
            "reason": "text",
            "place": "text",
            "raw": "blob",
            "column_names": "text",
        }
        declared = ", ".join(f"{name} {column(kind)} NOT NULL" for name, kind in kinds.items())
        async with self._database.transaction() as session:
            await session.execute(f"CREATE TABLE IF NOT EXISTS quarantine ({declared}, PRIMARY KEY (id))")
            await session.execute(self._database.dialect.index("quarantine", "dataset", "key"))

    async def add(self, job: str, dataset: str, batch_id: str, bad: Sequence[BadRow]) -> None:
        now_ms = epoch_ms()
        marks = ", ".join("?" * len(_COLUMNS))
        async with self._database.transaction() as session:
            for row in bad:
                raw = row.raw[:MAX_RAW_BYTES]
                parts = (dataset.encode(), row.place.encode(), row.reason.encode(), raw)
                row_id = hashlib.sha256(b"\0".join(parts)).hexdigest()[:26]
                known = await session.query("SELECT 1 FROM quarantine WHERE id = ? AND state = 'waiting'", (row_id,))
                if not known:
                    values = (
                        row_id,
                        job,
                        dataset,
                        batch_id,
                        now_ms,
                        row.reason,
                        row.place,
                        raw,
                        _ENCODER.encode(row.columns).decode(),
                        "waiting",
                    )
                    await session.execute(f"REPLACE INTO quarantine ({_NAMES}) VALUES ({marks})", values)  # noqa: S608

    async def rows(self, *, dataset: str | None = None, state: str = "waiting", limit: int = 100) -> list[Quarantined]:
        sql, params = f"{_SELECT} WHERE state = ?", [state]
        if dataset is not None:
            sql, params = f"{sql} AND dataset = ?", [state, dataset]
        rows = await self._database.query(f"{sql} ORDER BY at_ms, id LIMIT ?", (*params, limit))
        return [_quarantined(row) for row in rows]

    async def get(self, quarantine_id: str) -> Quarantined | None:
        rows = await self._database.query(f"{_SELECT} WHERE id = ?", (quarantine_id,))
        return _quarantined(rows[0]) if rows else None

    async def settle(self, quarantine_id: str, state: Literal["replayed", "discarded"]) -> None:
        async with self._database.transaction() as session:
            if not await session.query("SELECT 1 FROM quarantine WHERE id = ?", (quarantine_id,)):
                raise NotFound(f"quarantine has no row {quarantine_id}")
            await session.execute("UPDATE quarantine SET state = ? WHERE id = ?", (state, quarantine_id))

    async def count(self) -> dict[str, int]:
        sql = "SELECT dataset, count(*) FROM quarantine WHERE state = 'waiting' GROUP BY dataset"
        return {dataset: int(waiting) for dataset, waiting in await self._database.query(sql)}


def _quarantined(row: tuple[Any, ...]) -> Quarantined:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["columns"] = tuple(msgspec.json.decode(values.pop("column_names")))
    return Quarantined(**values)


def _conforms(quarantine: SqlQuarantine) -> Quarantine:
    return quarantine
