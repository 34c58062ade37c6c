"""core.stores.Nodes on a SQL database: one row a process, its report as JSON."""

import msgspec

from core.database import Database
from core.stores import NodeReport, Nodes

_TABLE, _COLUMNS = "node", ("node", "seen_ms", "report")


class SqlNodes:
    """The table is made at the first use, so that a node can start while the database is down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.dialect.quote(_TABLE)
        self._is_prepared = False

    async def _prepare(self) -> None:
        if self._is_prepared:
            return
        c = self._database.dialect.column
        async with self._database.transaction() as session:
            await session.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table}"
                f" (node {c('key')} PRIMARY KEY, seen_ms {c('integer')} NOT NULL, report {c('text')} NOT NULL)"
            )
        self._is_prepared = True

    async def report(self, report: NodeReport) -> None:
        await self._prepare()
        upsert = self._database.dialect.upsert(_TABLE, _COLUMNS, ("node",))
        async with self._database.transaction() as session:
            await session.execute(upsert, (report.node, report.seen_ms, msgspec.json.encode(report).decode()))

    async def all(self) -> list[NodeReport]:
        """By node name."""
        await self._prepare()
        rows = await self._database.query(f"SELECT report FROM {self._table} ORDER BY node")  # noqa: S608  # our own quoted name
        return [msgspec.json.decode(text, type=NodeReport) for (text,) in rows]

    async def forget(self, node: str) -> None:
        await self._prepare()
        async with self._database.transaction() as session:
            await session.execute(f"DELETE FROM {self._table} WHERE node = ?", (node,))  # noqa: S608


def _conforms(nodes: SqlNodes) -> Nodes:
    return nodes
