"""core.purges.Purges on a SQL database, and the one way by which cached answers are purged: kept, then told to every node."""

import logging
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from core.bus import Transport
from core.clock import epoch_ms
from core.database import Database, Session
from core.errors import Conflict, PlatformError
from core.ids import new_id
from core.purges import Purge, Purges, purged
from registry.tables import Tables

_COUNTER, _PURGE = "answer_purge_counter", "answer_purge"
_COLUMNS = "id, route, prefix, at_ms, made_by, number"
_KEPT_MS = 24 * 3_600_000


class SqlPurges:
    """See core.purges.Purges."""

    def __init__(self, database: Database) -> None:
        self._database = database
        q = database.dialect.quote
        self._counter, self._purge = q(_COUNTER), q(_PURGE)
        self._tables = Tables(database, _PURGE, self._make_tables)

    async def _make_tables(self, session: Session) -> None:
        """The counter with its row first, and last the table that tells that all are there."""
        c = self._database.dialect.column
        counter = f"id {c('integer')} PRIMARY KEY, number {c('integer')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._counter} ({counter})")
        with suppress(Conflict):  # another node was faster
            await session.execute(f"INSERT INTO {self._counter} (id, number) VALUES (1, 0)")  # noqa: S608  # our own quoted name
        columns = f"number {c('integer')} PRIMARY KEY, id {c('key')} NOT NULL, route {c('key')} NOT NULL"
        columns += f", prefix {c('text')} NOT NULL, at_ms {c('integer')} NOT NULL, made_by {c('text')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._purge} ({columns})")

    async def add(self, purge: Purge) -> Purge:
        await self._tables.ready()
        async with self._database.transaction() as session:
            # The counter's row is taken first: numbers are committed in their order on MariaDB too, and no reader misses one.
            await session.execute(f"UPDATE {self._counter} SET number = number + 1 WHERE id = 1")  # noqa: S608
            ((number,),) = await session.query(f"SELECT number FROM {self._counter} WHERE id = 1")  # noqa: S608
            made = msgspec.structs.replace(purge, number=int(number))
            await session.execute(
                f"INSERT INTO {self._purge} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                msgspec.structs.astuple(made),
            )
            await session.execute(f"DELETE FROM {self._purge} WHERE at_ms <= ?", (epoch_ms() - _KEPT_MS,))  # noqa: S608
        return made

    async def read(self, *, since: int, limit: int = 1000) -> Sequence[Purge]:
        await self._tables.ready()
        rows = await self._database.query(
            f"SELECT {_COLUMNS} FROM {self._purge} WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (since, limit),
        )
        return [Purge(*row) for row in rows]


class Purger:
    """Purges durably, then tells every node. A bus that is down delays a node by its next look into the database."""

    def __init__(self, purges: Purges, bus: Transport, *, node: str) -> None:
        self._purges = purges
        self._bus = bus
        self._node = node

    async def purge(self, route: str, prefix: str, *, by: str) -> Purge:
        """While the database is down the nodes are told all the same, then Unavailable is raised: ask again, or a node that the bus
        does not reach keeps its answers."""
        wanted = Purge(new_id(), route, prefix, epoch_ms(), by)
        try:
            made = await self._purges.add(wanted)
        except PlatformError:
            await self._tell(wanted)
            raise
        await self._tell(made)
        return made

    async def _tell(self, purge: Purge) -> None:
        try:
            await self._bus.publish([purged(purge, node=self._node)], channel="control")
        except PlatformError as error:
            logging.getLogger("registry").warning("a purge goes by the database alone: %s", error.detail)


def _conforms(purges: SqlPurges) -> Purges:
    return purges
