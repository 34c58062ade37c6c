"""Counters of each app, route and hour, on any core.database."""

from collections.abc import Sequence

from core.database import Database
from core.errors import InvalidInput
from core.stores import Usage, UsageRow

_KEY = ("app", "route", "hour_ms")
_AMOUNTS = ("requests", "errors", "limited", "bytes_in", "bytes_out")
_NAMES = ", ".join((*_KEY, *_AMOUNTS))
MAX_ROWS = 100_000


class SqlUsage:
    """See core.stores.Usage. The table is `app_usage`: `usage` is a word of MySQL's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        marks = ", ".join("?" * (len(_KEY) + len(_AMOUNTS)))
        insert = f"INSERT INTO app_usage ({_NAMES}) VALUES ({marks})"  # noqa: S608
        if database.dialect.name == "sqlite":
            added = ", ".join(f"{name} = app_usage.{name} + excluded.{name}" for name in _AMOUNTS)
            self._add = f"{insert} ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {added}"
        else:
            self._add = f"{insert} ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = {name} + VALUES({name})" for name in _AMOUNTS)

    async def prepare(self) -> None:
        """Make the table."""
        column = self._database.dialect.column
        kinds = {"app": "key", "route": "key"}
        declared = ", ".join(f"{name} {column(kinds.get(name, 'integer'))} NOT NULL" for name in (*_KEY, *_AMOUNTS))
        async with self._database.transaction() as session:
            await session.execute(f"CREATE TABLE IF NOT EXISTS app_usage ({declared}, PRIMARY KEY ({', '.join(_KEY)}))")
            await session.execute(self._database.dialect.index("app_usage", "hour_ms", "integer"))

    async def add(self, rows: Sequence[UsageRow]) -> None:
        # In the order of keys: workers that lock the same rows in different orders would be each other's deadlock.
        ordered = sorted((row.app, row.route, row.hour_ms, *(getattr(row, name) for name in _AMOUNTS)) for row in rows)
        if ordered:
            async with self._database.transaction() as session:
                await session.executemany(self._add, ordered)

    async def read(self, app: str, *, since_ms: int, until_ms: int) -> list[UsageRow]:
        sql = f"SELECT {_NAMES} FROM app_usage WHERE app = ? AND hour_ms >= ? AND hour_ms < ? ORDER BY hour_ms, route LIMIT ?"  # noqa: S608
        rows = await self._database.query(sql, (app, since_ms, until_ms, MAX_ROWS + 1))
        if len(rows) > MAX_ROWS:
            raise InvalidInput(f"more than {MAX_ROWS} hours and routes; ask for a shorter time")
        return [UsageRow(*row) for row in rows]

    async def trim(self, *, older_than_ms: int) -> int:
        async with self._database.transaction() as session:
            return await session.execute("DELETE FROM app_usage WHERE hour_ms < ?", (older_than_ms,))


def _conforms(usage: SqlUsage) -> Usage:
    return usage
