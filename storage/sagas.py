"""Transactions over several sources on any core.database: what was promised, how far it is, and which process works on it."""

import hashlib
from typing import Any, Literal

import msgspec

from core.clock import epoch_ms
from core.database import Database
from core.errors import Conflict, NotFound
from core.stores import Saga, Sagas, SagaState
from storage.tables import make_table

FORSAKEN_MS = 15_000
"""An owner that has not saved a saga for so long has crashed, or given it up for now."""
_UNDER_WAY = "state IN ('open', 'undoing')"


class SqlSagas:
    """See core.stores.Sagas. An idempotency key is unique per app; its digest is the unique column."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        columns = (
            "id {key} PRIMARY KEY, once {key} NOT NULL UNIQUE, state {key} NOT NULL, owner {key} NOT NULL, "
            "at_ms {integer} NOT NULL, saved_ms {integer} NOT NULL, body {blob} NOT NULL"
        )
        await make_table(self._database, "sagas", columns, indexes=("state",))

    async def accept(self, saga: Saga, *, owner: str) -> Saga:
        once = hashlib.sha256(f"{saga.app}\0{saga.idempotency_key}".encode()).hexdigest()
        now = epoch_ms()
        try:
            async with self._database.transaction() as session:
                await session.execute(
                    "INSERT INTO sagas (id, once, state, owner, at_ms, saved_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (saga.id, once, saga.state, owner, saga.at_ms, now, msgspec.msgpack.encode(saga)),
                )
        except Conflict:
            rows = await self._database.query("SELECT body FROM sagas WHERE once = ?", (once,))
            if not rows:
                raise
            return _saga(rows[0])
        return saga

    async def save(self, saga: Saga, *, owner: str) -> None:
        values = (saga.state, epoch_ms(), msgspec.msgpack.encode(saga), saga.id, owner)
        async with self._database.transaction() as session:
            sql = "UPDATE sagas SET state = ?, saved_ms = ?, body = ? WHERE id = ? AND owner = ?"
            if await session.execute(sql, values):
                return
            # MariaDB counts the rows that changed, and within a millisecond nothing may have.
            if not await session.query("SELECT 1 FROM sagas WHERE id = ? AND owner = ?", (saga.id, owner)):
                raise Conflict(f"transaction {saga.id} is worked on by another process")

    async def claim(self, saga_id: str, *, owner: str) -> Saga | None:
        now = epoch_ms()
        async with self._database.transaction() as session:
            sql = f"UPDATE sagas SET owner = ?, saved_ms = ? WHERE id = ? AND {_UNDER_WAY} AND saved_ms < ?"  # noqa: S608
            if not await session.execute(sql, (owner, now, saga_id, now - FORSAKEN_MS)):
                return None
            rows = await session.query("SELECT body FROM sagas WHERE id = ?", (saga_id,))
        return _saga(rows[0])

    async def get(self, saga_id: str) -> Saga | None:
        rows = await self._database.query("SELECT body FROM sagas WHERE id = ?", (saga_id,))
        return _saga(rows[0]) if rows else None

    async def forsaken(self, *, limit: int = 100) -> list[str]:
        sql = f"SELECT id FROM sagas WHERE {_UNDER_WAY} AND saved_ms < ? ORDER BY at_ms LIMIT ?"  # noqa: S608
        return [row[0] for row in await self._database.query(sql, (epoch_ms() - FORSAKEN_MS, limit))]

    async def listed(self, *, state: SagaState | None = None, limit: int = 100) -> list[Saga]:
        where, params = ("", ()) if state is None else ("WHERE state = ?", (state,))
        sql = f"SELECT body FROM sagas {where} ORDER BY at_ms DESC, id DESC LIMIT ?"  # noqa: S608
        return [_saga(row) for row in await self._database.query(sql, (*params, limit))]

    async def decide(self, saga_id: str, state: Literal["undoing", "refused"]) -> Saga:
        async with self._database.transaction() as session:
            rows = await session.query("SELECT body FROM sagas WHERE id = ?", (saga_id,))
            if not rows:
                raise NotFound(f"there is no transaction {saga_id}")
            saga = _saga(rows[0])
            if saga.state != "stuck":
                raise Conflict(f"transaction {saga_id} is {saga.state}, not stuck: there is nothing to decide")
            saga.state = state
            # Nobody's, and at once: the next look of any back office goes on with it.
            sql = "UPDATE sagas SET state = ?, owner = '', saved_ms = 0, body = ? WHERE id = ? AND state = 'stuck'"
            await session.execute(sql, (state, msgspec.msgpack.encode(saga), saga_id))
        return saga

    async def trim(self, *, older_than_ms: int) -> int:
        async with self._database.transaction() as session:
            return await session.execute("DELETE FROM sagas WHERE state IN ('done', 'refused') AND at_ms < ?", (older_than_ms,))


def _saga(row: tuple[Any, ...]) -> Saga:
    return msgspec.msgpack.decode(row[0], type=Saga)


def _conforms(sagas: SqlSagas) -> Sagas:
    return sagas
