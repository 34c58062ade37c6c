"""Tables that are made at the first use, so that a node can start while the database is down."""

import asyncio
from collections.abc import Awaitable, Callable

from core.database import Database, Session
from core.errors import Unavailable


class Tables:
    """Makes a store's tables once. `make` runs in a transaction, with statements that do no harm where a table is there."""

    def __init__(self, database: Database, last: str, make: Callable[[Session], Awaitable[None]]) -> None:
        """`last` is the table that `make` makes last: where it is there, all are."""
        self._database = database
        self._last = last
        self._make = make
        self._is_made = False
        self._turn = asyncio.Lock()

    async def ready(self) -> None:
        """Raises Unavailable while the database is down; the next call tries again."""
        if self._is_made:
            return
        async with self._turn:
            if not self._is_made and not await self._is_there():
                async with self._database.transaction() as session:
                    await self._make(session)
            self._is_made = True

    async def _is_there(self) -> bool:
        """Asked first, because a node that only reads must neither wait for a writer nor need the right to make tables."""
        try:
            await self._database.query(f"SELECT COUNT(*) FROM {self._database.dialect.quote(self._last)}")  # noqa: S608
        except Unavailable:  # no such table; or the database is down, as making it will show
            return False
        return True
