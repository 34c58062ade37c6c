"""Failed logins: they lock an account for a growing time. An attempt is counted before its password is looked at.

So that attempts made all at once count like attempts made in a row.
"""

from contextlib import suppress

from core.database import Database, Session
from core.errors import Conflict, Limited

_TABLE, _COLUMNS = "login_attempt", ("name", "failures", "locked_until_ms", "is_known")
_FREE_FAILURES = 5
_LONGEST_LOCK_S = 900
_UNKNOWN_NAMES = 1_000


def lock_s(failures: int) -> int:
    """How long an account stays locked after that many failures in a row: the sixth locks it for 2 s, then 4, 8 … to 15 min."""
    over = failures - _FREE_FAILURES
    return 0 if over <= 0 else min(2 ** min(over, 20), _LONGEST_LOCK_S)


class LoginAttempts:
    """Kept in the database, so that another node or a restart does not forget. Bounded: names of no account are kept for the
    latest thousand only, and never push out a real account's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.dialect.quote(_TABLE)

    async def make_table(self, session: Session) -> None:
        c = self._database.dialect.column
        await session.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (name {c('key')} PRIMARY KEY, failures {c('integer')} NOT NULL,"
            f" locked_until_ms {c('integer')} NOT NULL, is_known {c('integer')} NOT NULL)"
        )

    async def begin(self, name: str, *, is_known: bool, now_ms: int) -> None:
        """Count an attempt as failed until `succeeded` is called. Raises Limited while the account is locked."""
        await self._make_row(name, is_known=is_known)
        count = f"UPDATE {self._table} SET failures = failures + 1 WHERE name = ? AND locked_until_ms <= ?"  # noqa: S608
        async with self._database.transaction() as session:
            # Writing first makes attempts on one account follow each other on MariaDB too.
            is_counted = await session.execute(count, (name, now_ms)) > 0
            rows = await session.query(f"SELECT failures, locked_until_ms FROM {self._table} WHERE name = ?", (name,))  # noqa: S608
            failures, locked_until_ms = rows[0] if rows else (0, 0)
            if is_counted:
                lock = f"UPDATE {self._table} SET locked_until_ms = ? WHERE name = ?"  # noqa: S608
                await session.execute(lock, (now_ms + lock_s(failures) * 1000, name))
            if not is_known:
                await self._prune(session)
        if now_ms < locked_until_ms:
            wait_s = (locked_until_ms - now_ms) / 1000
            raise Limited(f"too many failed logins; try again in {wait_s:.0f} s", retry_after_s=wait_s, code="account_locked")

    async def _make_row(self, name: str, *, is_known: bool) -> None:
        """In a transaction of its own: a row that is not there can't be locked, and attempts at once would not see each other."""
        if await self._database.query(f"SELECT 1 FROM {self._table} WHERE name = ?", (name,)):  # noqa: S608
            return
        insert = f"INSERT INTO {self._table} ({', '.join(_COLUMNS)}) VALUES (?, 0, 0, ?)"  # noqa: S608
        with suppress(Conflict):  # another attempt was faster
            async with self._database.transaction() as session:
                await session.execute(insert, (name, int(is_known)))

    async def _prune(self, session: Session) -> None:
        rows = await session.query(
            f"SELECT name FROM {self._table} WHERE is_known = 0 ORDER BY locked_until_ms DESC, name LIMIT 100 OFFSET ?",  # noqa: S608
            (_UNKNOWN_NAMES,),
        )
        if rows:
            await session.executemany(f"DELETE FROM {self._table} WHERE name = ?", rows)  # noqa: S608

    async def succeeded(self, name: str) -> None:
        """Forget the account's failures."""
        async with self._database.transaction() as session:
            await session.execute(f"DELETE FROM {self._table} WHERE name = ?", (name,))  # noqa: S608
