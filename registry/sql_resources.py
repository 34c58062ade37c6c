"""core.stores.Resources on a SQL database: resources, the audit and the revision that counts every change."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias

from core.clock import epoch_ms
from core.database import Database, Session
from core.errors import Conflict, NotFound
from core.stores import AuditEntry, Delta, Edit, Resource
from registry.changes import RevisionMoved, VersionedResources
from registry.tables import Tables

_REVISION, _RESOURCE, _AUDIT = "resource_revision", "resource", "resource_audit"
_ASKED_ONE_BY_ONE = 50
_MOST_CHANGES = 1000  # more than that, and reading all is as quick
State: TypeAlias = dict[tuple[str, str], Resource]
_COLUMNS = ("kind", "name", "body", "version", "changed_ms")
_AUDIT_COLUMNS = ("revision", "at_ms", "actor", "action", "kind", "name", "before_body", "after_body")


def _packed(body: dict[str, Any] | None) -> str | None:
    return None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _unpacked(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


class SqlResources:
    """Every edit takes the next revision, and a resource's `version` is the revision that changed it last: a resource that was
    deleted and made again never has a version that was seen before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        q = database.dialect.quote
        self._revision, self._resource, self._audit = q(_REVISION), q(_RESOURCE), q(_AUDIT)
        self._columns = ", ".join(map(q, _COLUMNS))
        self._audit_columns = ", ".join(map(q, _AUDIT_COLUMNS))
        self._tables = Tables(database, _AUDIT, self._make_tables)

    async def _make_tables(self, session: Session) -> None:
        """The counter with its row first: MariaDB commits each of these at once, and the last table tells that all are there."""
        c = self._database.dialect.column
        counter = f"id {c('integer')} PRIMARY KEY, revision {c('integer')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._revision} ({counter})")
        with suppress(Conflict):  # another node was faster
            await session.execute(f"INSERT INTO {self._revision} (id, revision) VALUES (1, 0)")  # noqa: S608  # our own quoted name
        resource = f"kind {c('key')} NOT NULL, name {c('key')} NOT NULL, body {c('text')} NOT NULL, version {c('integer')} NOT NULL"
        resource += f", changed_ms {c('integer')} NOT NULL, PRIMARY KEY (kind, name)"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._resource} ({resource})")
        audit = f"revision {c('integer')} PRIMARY KEY, at_ms {c('integer')} NOT NULL, actor {c('text')} NOT NULL"
        audit += f", action {c('key')} NOT NULL, kind {c('key')} NOT NULL, name {c('key')} NOT NULL"
        audit += f", before_body {c('text')}, after_body {c('text')}"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._audit} ({audit})")

    async def revision(self) -> int:
        await self._tables.ready()
        rows = await self._database.query(f"SELECT revision FROM {self._revision}")  # noqa: S608
        return int(rows[0][0])

    async def all(self) -> tuple[int, list[Resource]]:
        """In one statement, which both databases answer from one moment. Sorted by kind and name."""
        await self._tables.ready()
        rows = await self._database.query(
            f"SELECT r.revision, x.kind, x.name, x.body, x.version, x.changed_ms FROM {self._revision} r"  # noqa: S608
            f" LEFT JOIN {self._resource} x ON r.id = 1 ORDER BY x.kind, x.name"
        )
        return int(rows[0][0]), [_resource(row[1:]) for row in rows if row[1] is not None]

    async def since(self, revision: int) -> Delta | None:
        """The audit has a row for each revision: it tells what was touched, and whether it goes back that far."""
        now = await self.revision()
        if not 0 <= now - revision <= _MOST_CHANGES:
            return None
        rows = await self._database.query(
            f"SELECT r.revision, x.kind, x.name, x.body, x.version, x.changed_ms FROM {self._revision} r"  # noqa: S608
            f" LEFT JOIN {self._resource} x ON x.version > ?"
            f" UNION ALL SELECT NULL, a.kind, a.name, NULL, NULL, NULL FROM {self._audit} a WHERE a.revision > ?",
            (revision, revision),
        )
        touched = [(row[1], row[2]) for row in rows if row[0] is None]
        now = next(int(row[0]) for row in rows if row[0] is not None)
        if len(touched) != now - revision:
            return None
        changed = [_resource(row[1:]) for row in rows if row[0] is not None and row[1] is not None]
        kept = {(resource.kind, resource.name) for resource in changed}
        return Delta(now, changed, [key for key in dict.fromkeys(touched) if key not in kept])

    async def get(self, kind: str, name: str) -> Resource | None:
        await self._tables.ready()
        rows = await self._database.query(
            f"SELECT {self._columns} FROM {self._resource} WHERE kind = ? AND name = ?",  # noqa: S608
            (kind, name),
        )
        return _resource(rows[0]) if rows else None

    async def commit(self, edits: Sequence[Edit], *, actor: str, at: int | None = None) -> int:
        """See the protocol. RevisionMoved (a Conflict) where `at` is given and anything has changed since that revision."""
        await self._tables.ready()
        async with self._database.transaction() as session:
            # The counter's row is taken first: it makes this writer the only one on MariaDB too.
            await session.execute(f"UPDATE {self._revision} SET revision = revision + ? WHERE id = 1", (len(edits),))  # noqa: S608
            rows = await session.query(f"SELECT revision FROM {self._revision} WHERE id = 1")  # noqa: S608
            after = int(rows[0][0])
            if at is not None and at != after - len(edits):
                raise RevisionMoved(f"the registry has changed since revision {at}; read again, then decide")
            state = await self._state(session, edits)
            audit = _applied(state, edits, first_revision=after - len(edits) + 1, actor=actor)
            await self._store(session, state, {(edit.kind, edit.name) for edit in edits})
            marks = ", ".join("?" * len(_AUDIT_COLUMNS))
            await session.executemany(f"INSERT INTO {self._audit} ({self._audit_columns}) VALUES ({marks})", audit)  # noqa: S608
        return after

    async def _state(self, session: Session, edits: Sequence[Edit]) -> State:
        """The resources that the edits touch; all of them where asking one by one would take longer."""
        select = f"SELECT {self._columns} FROM {self._resource}"  # noqa: S608
        if len(edits) > _ASKED_ONE_BY_ONE:
            rows = await session.query(select)
        else:
            keys = {(edit.kind, edit.name) for edit in edits}
            rows = [row for key in keys for row in await session.query(f"{select} WHERE kind = ? AND name = ?", key)]
        return {(resource.kind, resource.name): resource for resource in map(_resource, rows)}

    async def _store(self, session: Session, state: State, touched: set[tuple[str, str]]) -> None:
        kept = [state[key] for key in sorted(touched) if key in state]
        gone = [key for key in sorted(touched) if key not in state]
        if kept:
            upsert = self._database.dialect.upsert(_RESOURCE, _COLUMNS, ("kind", "name"))
            await session.executemany(upsert, [(r.kind, r.name, _packed(r.body), r.version, r.changed_ms) for r in kept])
        if gone:
            await session.executemany(f"DELETE FROM {self._resource} WHERE kind = ? AND name = ?", gone)  # noqa: S608

    async def audit(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        await self._tables.ready()
        condition, params = ("WHERE revision < ?", (before, limit)) if before is not None else ("", (limit,))
        rows = await self._database.query(
            f"SELECT {self._audit_columns} FROM {self._audit} {condition} ORDER BY revision DESC LIMIT ?",  # noqa: S608
            params,
        )
        return [_audit_entry(row) for row in rows]


def _applied(state: State, edits: Sequence[Edit], *, first_revision: int, actor: str) -> list[tuple[Any, ...]]:
    """Change `state` by the edits in turn and give the audit's rows. Raises Conflict and NotFound, naming the resource."""
    at_ms = epoch_ms()
    audit: list[tuple[Any, ...]] = []
    for revision, edit in enumerate(edits, first_revision):
        key = (edit.kind, edit.name)
        old = state.get(key)
        _check_expected(edit, old)
        if edit.body is None:
            del state[key]
        else:
            state[key] = Resource(*key, edit.body, revision, at_ms)
        before = old.body if old else None
        audit.append((revision, at_ms, actor, _action(before, edit.body), *key, _packed(before), _packed(edit.body)))
    return audit


def _resource(row: Sequence[Any]) -> Resource:
    kind, name, body, version, changed_ms = row
    return Resource(kind, name, json.loads(body), version, changed_ms)


def _audit_entry(row: Sequence[Any]) -> AuditEntry:
    revision, at_ms, actor, action, kind, name, before, after = row
    return AuditEntry(revision, at_ms, actor, action, kind, name, _unpacked(before), _unpacked(after))


def _action(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Literal["create", "update", "delete"]:
    if after is None:
        return "delete"
    return "create" if before is None else "update"


def _check_expected(edit: Edit, old: Resource | None) -> None:
    """`expected` 0 stands for: it must not exist yet."""
    version = old.version if old else 0
    if edit.expected is not None and edit.expected != version:
        state = f"is at version {version}" if old else "does not exist"
        raise Conflict(f"{edit.kind} {edit.name} {state}, not at version {edit.expected}; read it again, then decide")
    if edit.body is None and old is None:
        raise NotFound(f"there is no {edit.kind} {edit.name}")


def _conforms(resources: SqlResources) -> VersionedResources:
    return resources
