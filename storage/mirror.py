"""The database tier: a mirror table per dataset, with versions, on any core.database (requirements 0.41, 0.47)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from core.database import Database, Session
from core.errors import Conflict, NotFound
from core.records import ChangeSet
from core.schema import Dataset, FieldType, Record, Value
from core.stores import Applied, Mirror, MirrorRow

_KINDS: dict[FieldType, str] = {"integer": "integer", "boolean": "integer", "number": "real"}
_VERSION, _OBSERVED, _DELETED = "_version", "_observed", "_deleted"
_STATE = "mirror_state"
_SWEPT_AT_ONCE = 2_000
_ALL = ""  # the state row that counts versions over all datasets


@dataclass(frozen=True, slots=True)
class _Table:
    """What is known of a prepared dataset: its SQL, made once."""

    name: str
    dataset: Dataset
    select: str
    by_key: str
    restores: tuple[tuple[str, Callable[[Any], Any]], ...]

    def row(self, values: Sequence[Any]) -> MirrorRow:
        """A selected row: the fields, then version, observed, deleted, and when its dataset was wholly synchronised last."""
        record: Record = dict(zip(self.dataset.columns, values, strict=False))
        for name, restore in self.restores:
            if record[name] is not None:
                record[name] = restore(record[name])
        version, observed_ms, is_deleted, synced_ms = values[-4:]
        return MirrorRow(record, version, max(observed_ms, synced_ms or 0), bool(is_deleted))


def _as_text(value: Any) -> str | None:
    """JSON is kept as its text."""
    return None if value is None else msgspec.json.encode(value).decode()


def _restored(field_type: FieldType) -> Callable[[Any], Any] | None:
    if field_type == "boolean":
        return bool
    return msgspec.json.decode if field_type == "json" else None


class SqlMirror:
    """See core.stores.Mirror. Key values are kept as text unless the field is an integer, so that both databases order alike."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables: dict[str, _Table] = {}

    async def prepare(self, name: str, dataset: Dataset) -> None:
        dialect = self._database.dialect
        table = _table_name(name)
        q = dialect.quote
        key_kinds = {column: "integer" if dataset.field(column).type == "integer" else "key" for column in dataset.key}
        kinds = {c: key_kinds.get(c) or _KINDS.get(dataset.field(c).type, "text") for c in dataset.columns}
        columns = ", ".join(map(q, (*dataset.columns, _VERSION, _OBSERVED, _DELETED)))
        restores = tuple((c, r) for c in dataset.columns if (r := _restored(dataset.field(c).type)))
        # Known from here on, even where the database is down now: a gateway that starts then serves when it is back.
        synced = f"(SELECT synced FROM {_STATE} WHERE name = ?)"  # noqa: S608  # in the same way to the database, once for all rows
        select = f"SELECT {columns}, {synced} FROM {q(table)}"  # noqa: S608
        by_key = f"{select} WHERE {' AND '.join(f'{q(c)} = ?' for c in dataset.key)} AND {_DELETED} = 0"
        self._tables[name] = _Table(table, dataset, select, by_key, restores)
        async with self._database.transaction() as session:
            await self._make_state(session, name)
            await session.execute(
                f"CREATE TABLE IF NOT EXISTS {q(table)} ("
                + "".join(f"{q(c)} {dialect.column(kinds[c])}{' NOT NULL' if c in dataset.key else ''}, " for c in kinds)
                + "".join(f"{q(c)} {dialect.column('integer')} NOT NULL, " for c in (_VERSION, _OBSERVED, _DELETED))
                + f"PRIMARY KEY ({', '.join(map(q, dataset.key))}))"
            )
            for column in await self._missing(session, table, kinds):
                await session.execute(f"ALTER TABLE {q(table)} ADD COLUMN {q(column)} {dialect.column(kinds[column])}")
            for column in (*dataset.indexes, _VERSION):
                await session.execute(dialect.index(table, column, kinds.get(column, "integer")))

    async def _make_state(self, session: Session, dataset: str) -> None:
        """One row counts versions over all datasets, one a dataset keeps its last version and synchronisation."""
        column = self._database.dialect.column
        await session.execute(
            f"CREATE TABLE IF NOT EXISTS {_STATE} (name {column('key')} PRIMARY KEY, "
            f"version {column('integer')} NOT NULL, synced {column('integer')} NOT NULL)"
        )
        for name in (_ALL, dataset):
            if not await session.query(f"SELECT 1 FROM {_STATE} WHERE name = ?", (name,)):  # noqa: S608
                # Another node may have made it since: it stays, for a version must never begin again.
                with suppress(Conflict):
                    await session.execute(f"INSERT INTO {_STATE} (name, version, synced) VALUES (?, 0, 0)", (name,))  # noqa: S608

    async def _missing(self, session: Session, table: str, kinds: Mapping[str, str]) -> list[str]:
        if self._database.dialect.name == "sqlite":
            rows = await session.query("SELECT name FROM pragma_table_info(?)", (table,))
        else:
            sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?"
            rows = await session.query(sql, (table,))
        present = {row[0] for row in rows}
        return [column for column in kinds if column not in present]

    def _table(self, name: str) -> _Table:
        try:
            return self._tables[name]
        except KeyError:
            raise NotFound(f"the mirror has no dataset {name}") from None

    async def apply(self, changes: ChangeSet) -> Applied:
        table = self._table(changes.dataset)
        if unknown := [name for name in changes.fields if name not in table.dataset.fields]:
            raise NotFound(f"the mirror's dataset {changes.dataset} has no field {', '.join(unknown)}")
        async with self._database.transaction() as session:
            if not changes.rows:
                return await self._mark_synced(session, changes)
            # Few ways to the database and back: between any two of them the loop may be busy converting the next batch.
            _, ((version,),) = await session.several(
                (f"UPDATE {_STATE} SET version = version + ? WHERE name = ?", (len(changes.rows), _ALL)),  # noqa: S608
                (f"SELECT version FROM {_STATE} WHERE name = ?", (_ALL,)),  # noqa: S608
            )
            before = version - len(changes.rows)
            await self._write(session, table, changes, before)
            news = f"FROM {self._database.dialect.quote(table.name)} WHERE {_VERSION} > ?"
            keep = f"UPDATE {_STATE} SET version = ? WHERE name = ? AND EXISTS (SELECT 1 {news})"  # noqa: S608
            _, ((changed,),) = await session.several(
                (keep, (version, changes.dataset, before)),
                (f"SELECT count(*) {news}", (before,)),
            )
            return Applied(changed=changed, version=version)

    async def sweep(self, name: str, *, before_ms: int, max_share: float) -> Applied:
        table, q = self._table(name), self._database.dialect.quote
        condition = f"FROM {q(table.name)} WHERE {_DELETED} = 0 AND {_OBSERVED} < ?"
        vanished = int((await self._database.query(f"SELECT count(*) {condition}", (before_ms,)))[0][0])
        live = await self.count(name)
        if vanished > live * max_share:
            raise Conflict(
                f"{name}: {vanished} of {live} rows were not in the full load, more than {max_share:.0%}: they stay; is the"
                " source whole? Raise the job's vanished_max_share and run it again if they are really gone"
            )
        keys, marks = ", ".join(map(q, table.dataset.key)), ", ".join("?" * len(table.dataset.key))
        select, order = f"SELECT {keys} {condition}", f"ORDER BY {keys} LIMIT {_SWEPT_AT_ONCE}"
        changed, version = 0, await self.version(name)
        rows = await self._database.query(f"{select} {order}", (before_ms,))
        while rows:
            applied = await self.apply(ChangeSet(name, "delete", table.dataset.key, [*rows], before_ms))
            changed, version = changed + applied.changed, applied.version
            rows = await self._database.query(f"{select} AND ({keys}) > ({marks}) {order}", (before_ms, *rows[-1]))
        return Applied(changed, version)

    async def _mark_synced(self, session: Session, changes: ChangeSet) -> Applied:
        """An empty change set says: at that moment the mirror equalled the source."""
        await session.execute(f"UPDATE {_STATE} SET synced = ? WHERE name = ?", (changes.observed_ms, changes.dataset))  # noqa: S608
        version = (await session.query(f"SELECT version FROM {_STATE} WHERE name = ?", (_ALL,)))[0][0]  # noqa: S608
        return Applied(changed=0, version=version)

    async def _write(self, session: Session, table: _Table, changes: ChangeSet, before: int) -> None:
        """A deletion is an upsert of key and mark: a row not seen yet leaves its mark too, against older news of it."""
        columns = (*changes.fields, _VERSION, _OBSERVED, _DELETED)
        rows: list[Any] = changes.rows
        nested = {i for i, c in enumerate(changes.fields) if table.dataset.field(c).type == "json"}
        if nested:
            rows = [[_as_text(value) if i in nested else value for i, value in enumerate(row)] for row in rows]
        observed, is_deleted = changes.observed_ms, int(changes.op == "delete")
        if changes.op == "patch":
            await self._patch(session, table, changes, rows, before)
            return
        stamped = [(*row, before + i, observed, is_deleted) for i, row in enumerate(rows, 1)]
        await session.upsert(table.name, columns, table.dataset.key, stamped, newer=_OBSERVED, stamp=_VERSION)

    async def _patch(self, session: Session, table: _Table, changes: ChangeSet, rows: list[Any], before: int) -> None:
        """Only what is known, and was not seen or deleted since; when the row as a whole was seen stays as it is."""
        q, key = self._database.dialect.quote, table.dataset.key
        names = [name for name in changes.fields if name not in key]
        differs = " OR ".join(f"({q(name)} <> ? OR ({q(name)} IS NULL) <> (? IS NULL))" for name in names)
        sql = (
            f"UPDATE {q(table.name)} SET {', '.join(f'{q(name)} = ?' for name in (*names, _VERSION))} "  # noqa: S608
            f"WHERE {' AND '.join(f'{q(name)} = ?' for name in key)} AND {_DELETED} = 0 AND {_OBSERVED} <= ? AND ({differs})"
        )
        places = [changes.fields.index(name) for name in names]
        keys = [changes.fields.index(name) for name in key]
        given = []
        for number, row in enumerate(rows, before + 1):
            values = [row[place] for place in places]
            twice = [value for value in values for _ in range(2)]
            given.append((*values, number, *(row[place] for place in keys), changes.observed_ms, *twice))
        await session.executemany(sql, given)

    async def _rows(self, name: str, condition: str, params: Sequence[Any]) -> list[MirrorRow]:
        """Selected rows, as fresh as the later of their own change and their dataset's last complete synchronisation."""
        table = self._table(name)
        return [table.row(values) for values in await self._database.query(f"{table.select} {condition}", (name, *params))]

    async def get(self, name: str, key: Sequence[Value]) -> MirrorRow | None:
        table = self._table(name)
        rows = await self._database.query(table.by_key, (name, *key))
        return table.row(rows[0]) if rows else None

    async def query(
        self, name: str, filters: Mapping[str, Value], *, limit: int, after: Sequence[Value] | None = None
    ) -> list[MirrorRow]:
        q = self._database.dialect.quote
        dataset = self._table(name).dataset
        conditions = [f"{_DELETED} = 0", *(f"{q(c)} {'IS NULL' if value is None else '= ?'}" for c, value in filters.items())]
        params: list[Any] = [value for value in filters.values() if value is not None]
        keys = ", ".join(map(q, dataset.key))
        if after is not None:
            conditions.append(f"({keys}) > ({', '.join('?' * len(after))})")
            params.extend(after)
        return await self._rows(name, f"WHERE {' AND '.join(conditions)} ORDER BY {keys} LIMIT ?", (*params, limit))

    async def changes(self, name: str, *, since: int, limit: int) -> list[MirrorRow]:
        return await self._rows(name, f"WHERE {_VERSION} > ? ORDER BY {_VERSION} LIMIT ?", (since, limit))

    async def count(self, name: str) -> int:
        table = self._database.dialect.quote(self._table(name).name)
        return int((await self._database.query(f"SELECT count(*) FROM {table} WHERE {_DELETED} = 0"))[0][0])  # noqa: S608

    async def version(self, name: str) -> int:
        self._table(name)
        return int((await self._database.query(f"SELECT version FROM {_STATE} WHERE name = ?", (name,)))[0][0])  # noqa: S608


def _table_name(dataset: str) -> str:
    """`sales.customers` → `mirror_sales__customers`: MariaDB allows no dot in a table's name."""
    return "mirror_" + dataset.replace(".", "__")


def _conforms(mirror: SqlMirror) -> Mirror:
    return mirror
