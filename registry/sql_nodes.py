"""core.stores.Nodes on a SQL database: one row a process, its report as JSON."""

import msgspec

from core.database import Database, Session
from core.stores import NodeReport, Nodes
from registry.tables import Tables

_TABLE, _COLUMNS = "node", ("node", "seen_ms", "report")


class SqlNodes:
    """See core.stores.Nodes. A report from a newer version may have more fields; they are ignored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.dialect.quote(_TABLE)
        self._tables = Tables(database, _TABLE, self._make_tables)

    async def _make_tables(self, session: Session) -> None:
        c = self._database.dialect.column
        columns = f"node {c('key')} PRIMARY KEY, seen_ms {c('integer')} NOT NULL, report {c('text')} NOT NULL"
        await session.execute(f"CREATE TABLE IF NOT EXISTS {self._table} ({columns})")

    async def report(self, report: NodeReport) -> None:
        await self._tables.ready()
        upsert = self._database.dialect.upsert(_TABLE, _COLUMNS, ("node",))
        async with self._database.transaction() as session:
            await session.execute(upsert, (report.node, report.seen_ms, msgspec.json.encode(report).decode()))

    async def all(self) -> list[NodeReport]:
        """By node name."""
        await self._tables.ready()
        rows = await self._database.query(f"SELECT report FROM {self._table} ORDER BY node")  # noqa: S608  # our own quoted name
        return [msgspec.json.decode(text, type=NodeReport) for (text,) in rows]

    async def forget(self, node: str) -> None:
        await self._tables.ready()
        async with self._database.transaction() as session:
            await session.execute(f"DELETE FROM {self._table} WHERE node = ?", (node,))  # noqa: S608


def _conforms(nodes: SqlNodes) -> Nodes:
    return nodes
