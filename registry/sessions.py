"""Console sessions and automation tokens: random tokens of which only the SHA-256 is kept, each with an end."""

import hashlib
import hmac
import secrets

from core.database import Database, Session
from core.secret import Secret

TABLE, _COLUMNS = "console_session", ("token_hash", "user_name", "address", "created_ms", "expires_ms")


def _hash(token: Secret) -> str:
    """Plain SHA-256 is right here: the token has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()


class Sessions:
    """Kept in the database: a session holds on every node and after a restart."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.dialect.quote(TABLE)

    async def make_table(self, session: Session) -> None:
        c = self._database.dialect.column
        await session.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (token_hash {c('key')} PRIMARY KEY, user_name {c('key')} NOT NULL,"
            f" address {c('text')} NOT NULL, created_ms {c('integer')} NOT NULL, expires_ms {c('integer')} NOT NULL)"
        )

    async def begin(self, user: str, *, prefix: str, address: str, now_ms: int, ttl_s: float) -> Secret:
        """A new token for the user, valid `ttl_s` seconds. Those that have ended are cleared away."""
        token = Secret(prefix + secrets.token_urlsafe(32))
        row = (_hash(token), user, address, now_ms, now_ms + int(ttl_s * 1000))
        columns = ", ".join(_COLUMNS)
        async with self._database.transaction() as session:
            await session.execute(f"DELETE FROM {self._table} WHERE expires_ms <= ?", (now_ms,))  # noqa: S608  # our own name
            await session.execute(f"INSERT INTO {self._table} ({columns}) VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608
        return token

    async def user_of(self, token: Secret, *, now_ms: int) -> str | None:
        """The name of the user, or None for a token that is unknown or has ended."""
        wanted = _hash(token)
        rows = await self._database.query(
            f"SELECT token_hash, user_name FROM {self._table} WHERE token_hash = ? AND expires_ms > ?",  # noqa: S608
            (wanted, now_ms),
        )
        return next((name for kept, name in rows if hmac.compare_digest(kept, wanted)), None)

    async def end(self, token: Secret) -> None:
        """A token that is not there is no error."""
        await self._delete("token_hash", _hash(token))

    async def end_all_of(self, user: str) -> None:
        await self._delete("user_name", user)

    async def _delete(self, column: str, value: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(f"DELETE FROM {self._table} WHERE {column} = ?", (value,))  # noqa: S608
