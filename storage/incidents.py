"""Incidents on any core.database. The row is JSON; what it is looked up by has a column."""

from typing import Literal

import msgspec

from core.clock import epoch_ms
from core.database import Database, Session
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.incidents import Incident, IncidentKind, Incidents, IncidentState
from storage.tables import make_table

_SELF = "platform"
_KEPT_MS = 90 * 24 * 3600 * 1000
_TOLD = ("told_ms", "escalated_ms", "closed_ms", "tries", "next_try_ms")


class SqlIncidents:
    """See core.incidents.Incidents. Resolved ones go after 90 days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        columns = (
            "id {key} PRIMARY KEY, kind {key} NOT NULL, subject {key} NOT NULL, state {key} NOT NULL, raised {integer} NOT NULL, "
            "is_told {integer} NOT NULL, body {blob} NOT NULL"
        )
        await make_table(self._database, "incident", columns, indexes=("subject", "state"))

    async def raised(self, kind: IncidentKind, subject: str, detail: str, *, contact: str) -> Incident:
        now_ms = epoch_ms()
        async with self._database.transaction() as session:
            incident = await self._unresolved(session, kind, subject)
            if incident is None:
                incident = Incident(new_id(), kind, subject, detail, contact, now_ms, last_ms=now_ms, changed_ms=now_ms)
                await session.execute("DELETE FROM incident WHERE state = ? AND raised < ?", ("resolved", now_ms - _KEPT_MS))
                values = (incident.id, kind, subject, incident.state, now_ms, 0, msgspec.json.encode(incident))
                sql = "INSERT INTO incident (id, kind, subject, state, raised, is_told, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
                await session.execute(sql, values)
            else:
                incident.count, incident.detail, incident.last_ms, incident.contact = incident.count + 1, detail, now_ms, contact
                await _store(session, incident)
        return incident

    async def resolved(self, kind: IncidentKind, subject: str) -> Incident | None:
        async with self._database.transaction() as session:
            incident = await self._unresolved(session, kind, subject)
            if incident is not None:
                incident.state, incident.by, incident.changed_ms = "resolved", _SELF, epoch_ms()
                await _store(session, incident)
        return incident

    async def settle(self, incident_id: str, state: Literal["acknowledged", "resolved"], *, by: str) -> Incident:
        async with self._database.transaction() as session:
            incident = await self._one(session, incident_id)
            if incident.state == "resolved":
                raise Conflict(f"incident {incident_id} is resolved already, by {incident.by}")
            incident.state, incident.by, incident.changed_ms = state, by, epoch_ms()
            await _store(session, incident)
        return incident

    async def listed(self, *, state: IncidentState | None = None, limit: int = 100) -> list[Incident]:
        condition, params = ("state = ?", (state,)) if state else ("state <> ?", ("resolved",))
        sql = f"SELECT body FROM incident WHERE {condition} ORDER BY raised DESC, id DESC LIMIT ?"  # noqa: S608
        return [_decoded(body) for (body,) in await self._database.query(sql, (*params, limit))]

    async def unfinished(self, *, limit: int = 100) -> list[Incident]:
        sql = "SELECT body FROM incident WHERE is_told = 0 ORDER BY raised, id LIMIT ?"
        return [_decoded(body) for (body,) in await self._database.query(sql, (limit,))]

    async def note(self, incident: Incident) -> None:
        async with self._database.transaction() as session:
            stored = await self._one(session, incident.id)
            for name in _TOLD:
                setattr(stored, name, getattr(incident, name))
            await _store(session, stored)

    async def _unresolved(self, session: Session, kind: str, subject: str) -> Incident | None:
        sql = "SELECT body FROM incident WHERE subject = ? AND kind = ? AND state <> ?"
        rows = await session.query(sql, (subject, kind, "resolved"))
        return _decoded(rows[0][0]) if rows else None

    async def _one(self, session: Session, incident_id: str) -> Incident:
        rows = await session.query("SELECT body FROM incident WHERE id = ?", (incident_id,))
        if not rows:
            raise NotFound(f"there is no incident {incident_id[:40]}")
        return _decoded(rows[0][0])


def _decoded(body: bytes) -> Incident:
    return msgspec.json.decode(body, type=Incident)


async def _store(session: Session, incident: Incident) -> None:
    is_told = int(incident.state == "resolved" and incident.closed_ms > 0)
    values = (incident.state, is_told, msgspec.json.encode(incident), incident.id)
    await session.execute("UPDATE incident SET state = ?, is_told = ?, body = ? WHERE id = ?", values)


def _conforms(incidents: SqlIncidents) -> Incidents:
    return incidents
