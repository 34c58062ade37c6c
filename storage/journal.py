"""The journal of synchronous writes, on any core.database: what was promised before it was applied (requirement 0.42)."""

import hashlib

import msgspec

from core.database import Database
from core.errors import Conflict, NotFound
from core.stores import Journal, JournalEntry, JournalStep
from storage.tables import make_table


class SqlJournal:
    """See core.stores.Journal. An idempotency key is unique per app; its digest is the unique column."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        columns = (
            "id {key} PRIMARY KEY, once {key} NOT NULL UNIQUE, step {key} NOT NULL, at_ms {integer} NOT NULL, body {blob} NOT NULL"
        )
        await make_table(self._database, "journal", columns, indexes=("step",))

    async def accept(self, entry: JournalEntry) -> JournalEntry:
        once = _once(entry.app, entry.idempotency_key)
        values = (entry.id, once, entry.step, entry.at_ms, msgspec.msgpack.encode(entry))
        try:
            async with self._database.transaction() as session:
                await session.execute("INSERT INTO journal (id, once, step, at_ms, body) VALUES (?, ?, ?, ?, ?)", values)
        except Conflict:
            known = await self.find(entry.app, entry.idempotency_key)
            if known is None:
                raise
            return known
        return entry

    async def advance(self, entry_id: str, step: JournalStep, *, answer: bytes = b"") -> None:
        async with self._database.transaction() as session:
            rows = await session.query("SELECT body, step FROM journal WHERE id = ?", (entry_id,))
            if not rows:
                raise NotFound(f"the journal has no entry {entry_id}")
            entry = _entry(*rows[0])
            moved = msgspec.structs.replace(entry, step=step, answer=answer or entry.answer)
            sql = "UPDATE journal SET step = ?, body = ? WHERE id = ?"
            await session.execute(sql, (step, msgspec.msgpack.encode(moved), entry_id))

    async def find(self, app: str, idempotency_key: str) -> JournalEntry | None:
        rows = await self._database.query("SELECT body, step FROM journal WHERE once = ?", (_once(app, idempotency_key),))
        return _entry(*rows[0]) if rows else None

    async def withdraw(self, entry_id: str) -> None:
        async with self._database.transaction() as session:
            await session.execute("DELETE FROM journal WHERE id = ? AND step = 'accepted'", (entry_id,))

    async def open(self, *, older_than_ms: int, limit: int = 100) -> list[JournalEntry]:
        sql = "SELECT body, step FROM journal WHERE step IN ('accepted', 'applied') AND at_ms < ? ORDER BY at_ms LIMIT ?"
        return [_entry(*row) for row in await self._database.query(sql, (older_than_ms, limit))]

    async def trim(self, *, older_than_ms: int) -> int:
        async with self._database.transaction() as session:
            return await session.execute("DELETE FROM journal WHERE step IN ('done', 'refused') AND at_ms < ?", (older_than_ms,))


def _once(app: str, idempotency_key: str) -> str:
    return hashlib.sha256(f"{app}\0{idempotency_key}".encode()).hexdigest()


def _entry(body: bytes, step: JournalStep) -> JournalEntry:
    return msgspec.structs.replace(msgspec.msgpack.decode(body, type=JournalEntry), step=step)


def _conforms(journal: SqlJournal) -> Journal:
    return journal
