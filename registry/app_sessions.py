"""core.sessions.AppSessions on a SQL database, and the one way by which a session is revoked: kept, then told to every node."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from core.bus import Transport
from core.clock import epoch_ms
from core.database import Database, Session
from core.errors import Conflict, PlatformError
from core.ids import last_id_at
from core.sessions import AppSession, AppSessions, Revocation, Scope, revoked
from registry.tables import Tables

_COUNTER, _SESSION, _REVOCATION = "app_session_counter", "app_session", "app_session_revocation"
_COLUMNS = ("id", "app", "access_key", "device", "actor", "address", "issued_ms", "expires_ms")
_SELECTED = ", ".join(_COLUMNS)
_REVOCATION_COLUMNS = "scope, name, last_id, until_ms, at_ms, made_by, number"
_CLEAR_EVERY_S = 60.0
_SKEW_MS = 60_000  # a token is refused a little longer than it lives: a node's clock may be behind

SessionList: TypeAlias = list[AppSession]  # the method `list` hides the built-in inside the class


class SqlAppSessions:
    """See core.sessions.AppSessions. Whether a session is revoked is worked out of the revocations when it is listed: its row may
    be written after them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        q = database.dialect.quote
        self._counter, self._session, self._revocation = q(_COUNTER), q(_SESSION), q(_REVOCATION)
        self._tables = Tables(database, _REVOCATION, self._make_tables)
        self._clear_at = 0.0

    async def _make_tables(self, session: Session) -> None:
        """The counter with its row first, and last the table that tells that all are there."""
        c, index = self._database.dialect.column, self._database.dialect.index
        counter = f"id {c('integer')} PRIMARY KEY, number {c('integer')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._counter} ({counter})")
        with suppress(Conflict):  # another node was faster
            await session.execute(f"INSERT INTO {self._counter} (id, number) VALUES (1, 0)")  # noqa: S608  # our own quoted name
        names = ", ".join(f"{name} {c('key')} NOT NULL" for name in _COLUMNS[1:6])
        columns = f"id {c('key')} PRIMARY KEY, {names}, issued_ms {c('integer')} NOT NULL, expires_ms {c('integer')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._session} ({columns})")
        for column, kind in (("app", "key"), ("device", "key"), ("expires_ms", "integer")):
            await session.execute(index(_SESSION, column, kind))
        columns = f"number {c('integer')} PRIMARY KEY, scope {c('key')} NOT NULL, name {c('key')} NOT NULL"
        columns += f", last_id {c('key')} NOT NULL, until_ms {c('integer')} NOT NULL, at_ms {c('integer')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._revocation} ({columns}, made_by {c('text')} NOT NULL)")
        await session.execute(index(_REVOCATION, "name", "key"))

    async def add(self, sessions: Sequence[AppSession]) -> None:
        await self._tables.ready()
        rows = [msgspec.structs.astuple(each)[: len(_COLUMNS)] for each in sessions]
        async with self._database.transaction() as session:
            await session.executemany(self._database.dialect.upsert(_SESSION, _COLUMNS, ("id",)), rows)
            if time.monotonic() >= self._clear_at:
                self._clear_at = time.monotonic() + _CLEAR_EVERY_S
                await session.execute(f"DELETE FROM {self._session} WHERE expires_ms <= ?", (epoch_ms(),))  # noqa: S608

    async def list(self, *, app: str = "", device: str = "", after: str = "", limit: int = 100) -> SessionList:
        asked = [("app = ?", app), ("device = ?", device), ("id < ?", after)]
        given = [(condition, value) for condition, value in asked if value]
        return await self._found([condition for condition, _ in given], [value for _, value in given], limit)

    async def get(self, session_id: str) -> AppSession | None:
        found = await self._found(["id = ?"], [session_id], 1)
        return found[0] if found else None

    async def _found(self, conditions: Sequence[str], values: Sequence[str], limit: int) -> SessionList:
        """Newest first."""
        await self._tables.ready()
        moment = (
            f"SELECT MIN(r.at_ms) FROM {self._revocation} r WHERE (r.scope = 'session' AND r.name = s.id)"  # noqa: S608
            " OR (r.scope = 'app' AND r.name = s.app AND s.id <= r.last_id)"
            " OR (r.scope = 'device' AND r.name = s.device AND s.id <= r.last_id)"
        )
        where = " AND ".join([*conditions, "expires_ms > ?"])
        rows = await self._database.query(
            f"SELECT {_SELECTED}, COALESCE(({moment}), 0) FROM {self._session} s WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*values, epoch_ms(), limit),
        )
        return [AppSession(*row) for row in rows]

    async def revoke(self, revocation: Revocation) -> Revocation:
        await self._tables.ready()
        async with self._database.transaction() as session:
            # The counter's row is taken first: numbers are committed in their order on MariaDB too, and no reader misses one.
            await session.execute(f"UPDATE {self._counter} SET number = number + 1 WHERE id = 1")  # noqa: S608
            if (known := await self._known(session, revocation)) is not None:
                return known
            last, until_ms = await self._widened(session, revocation)
            ((number,),) = await session.query(f"SELECT number FROM {self._counter} WHERE id = 1")  # noqa: S608
            made = msgspec.structs.replace(revocation, last=last, until_ms=until_ms, number=int(number))
            await session.execute(
                f"INSERT INTO {self._revocation} ({_REVOCATION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                msgspec.structs.astuple(made),
            )
            await session.execute(f"DELETE FROM {self._revocation} WHERE until_ms <= ?", (epoch_ms(),))  # noqa: S608
        return made

    async def _known(self, session: Session, wanted: Revocation) -> Revocation | None:
        if wanted.scope != "session":
            return None
        rows = await session.query(
            f"SELECT {_REVOCATION_COLUMNS} FROM {self._revocation} WHERE name = ? AND scope = 'session'",  # noqa: S608
            (wanted.name,),
        )
        return Revocation(*rows[0]) if rows else None

    async def _widened(self, session: Session, wanted: Revocation) -> tuple[str, int]:
        if wanted.scope == "session":
            return wanted.last, wanted.until_ms
        query = f"SELECT MAX(id), MAX(expires_ms) FROM {self._session} WHERE {wanted.scope} = ?"  # noqa: S608  # one of two words
        ((newest, longest),) = await session.query(query, (wanted.name,))
        return max(wanted.last, newest or ""), max(wanted.until_ms, (longest or 0) + _SKEW_MS)

    async def revocations(self, *, since: int, limit: int = 1000) -> Sequence[Revocation]:
        await self._tables.ready()
        rows: Sequence[Sequence[Any]] = await self._database.query(
            f"SELECT {_REVOCATION_COLUMNS} FROM {self._revocation} WHERE number > ? AND until_ms > ?"  # noqa: S608
            " ORDER BY number LIMIT ?",
            (since, epoch_ms(), limit),
        )
        return [Revocation(*row) for row in rows]


class Revoker:
    """Revokes durably, then tells every node. A bus that is down delays a node by its next look into the database."""

    def __init__(self, sessions: AppSessions, bus: Transport, *, node: str) -> None:
        self._sessions = sessions
        self._bus = bus
        self._node = node

    async def session(self, session_id: str, *, expires_ms: int, by: str) -> Revocation:
        """One session. While the database is down the nodes are told all the same, then Unavailable is raised: ask again, or a
        node that starts meanwhile does not know of it."""
        return await self._revoke("session", session_id, session_id, expires_ms, by)

    async def all_of(self, scope: Scope, name: str, *, lifetime_s: float, by: str) -> Revocation:
        """Every session of an app or a device that was issued until now, listed or not. `lifetime_s` is the longest a token
        lives."""
        now_ms = epoch_ms()
        return await self._revoke(scope, name, last_id_at(now_ms), now_ms + int(lifetime_s * 1000), by)

    async def _revoke(self, scope: Scope, name: str, last: str, expires_ms: int, by: str) -> Revocation:
        wanted = Revocation(scope, name, last, expires_ms + _SKEW_MS, epoch_ms(), by)
        try:
            made = await self._sessions.revoke(wanted)
        except PlatformError:
            await self._tell(wanted)
            raise
        await self._tell(made)
        return made

    async def _tell(self, revocation: Revocation) -> None:
        try:
            await self._bus.publish([revoked(revocation, node=self._node)], channel="control")
        except PlatformError as error:
            logging.getLogger("registry").warning("a revocation goes by the database alone: %s", error.detail)


def _conforms(sessions: SqlAppSessions) -> AppSessions:
    return sessions
