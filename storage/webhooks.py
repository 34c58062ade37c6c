"""Waiting webhook messages and the state of webhooks, on any core.database. Rows are packed; what is looked up has a column."""

from collections.abc import Collection, Sequence

import msgspec

from core.database import Database
from core.webhooks import Waiting, WebhookRetries, WebhookState, WebhookStates
from storage.tables import make_table

_decoder = msgspec.msgpack.Decoder(Waiting)


class SqlWebhookRetries:
    """See core.webhooks.WebhookRetries. One process writes for a webhook at a time: it numbers the messages of a lane."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        columns = (
            "webhook {key} NOT NULL, message {key} NOT NULL, lane {integer} NOT NULL, number {integer} NOT NULL, "
            "body {blob} NOT NULL, PRIMARY KEY (webhook, message)"
        )
        await make_table(self._database, "webhook_waiting", columns, indexes=("webhook",))

    async def add(self, waiting: Sequence[Waiting]) -> None:
        async with self._database.transaction() as session:
            for each in waiting:
                known = "SELECT 1 FROM webhook_waiting WHERE webhook = ? AND message = ?"
                if await session.query(known, (each.webhook, each.envelope.id)):
                    continue
                sql = "SELECT coalesce(max(number), 0) + 1 FROM webhook_waiting WHERE webhook = ?"
                number = (await session.query(sql, (each.webhook,)))[0][0]
                sql = "INSERT INTO webhook_waiting (webhook, message, lane, number, body) VALUES (?, ?, ?, ?, ?)"
                await session.execute(sql, (each.webhook, each.envelope.id, each.lane, number, msgspec.msgpack.encode(each)))

    async def heads(self, webhook: str) -> list[Waiting]:
        sql = (
            "SELECT body FROM webhook_waiting WHERE webhook = ? AND number IN "
            "(SELECT min(number) FROM webhook_waiting WHERE webhook = ? GROUP BY lane) ORDER BY number"
        )
        return [_decoder.decode(body) for (body,) in await self._database.query(sql, (webhook, webhook))]

    async def note(self, waiting: Waiting) -> None:
        sql = "UPDATE webhook_waiting SET body = ? WHERE webhook = ? AND message = ?"
        async with self._database.transaction() as session:
            await session.execute(sql, (msgspec.msgpack.encode(waiting), waiting.webhook, waiting.envelope.id))

    async def remove(self, webhook: str, envelope_id: str) -> None:
        async with self._database.transaction() as session:
            await session.execute("DELETE FROM webhook_waiting WHERE webhook = ? AND message = ?", (webhook, envelope_id))

    async def count(self, webhook: str) -> int:
        sql = "SELECT count(*) FROM webhook_waiting WHERE webhook = ?"
        return int((await self._database.query(sql, (webhook,)))[0][0])

    async def forget_others(self, webhooks: Collection[str]) -> None:
        known = await self._database.query("SELECT DISTINCT webhook FROM webhook_waiting")
        gone = [(name,) for (name,) in known if name not in webhooks]
        if gone:
            async with self._database.transaction() as session:
                await session.executemany("DELETE FROM webhook_waiting WHERE webhook = ?", gone)


class SqlWebhookStates:
    """See core.webhooks.WebhookStates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the table."""
        await make_table(self._database, "webhook_state", "name {key} PRIMARY KEY, body {blob} NOT NULL")

    async def get(self, name: str) -> WebhookState | None:
        rows = await self._database.query("SELECT body FROM webhook_state WHERE name = ?", (name,))
        return msgspec.json.decode(rows[0][0], type=WebhookState) if rows else None

    async def keep(self, state: WebhookState) -> None:
        async with self._database.transaction() as session:
            values = (state.name, msgspec.json.encode(state))
            await session.execute("REPLACE INTO webhook_state (name, body) VALUES (?, ?)", values)

    async def all(self) -> list[WebhookState]:
        rows = await self._database.query("SELECT body FROM webhook_state ORDER BY name")
        return [msgspec.json.decode(body, type=WebhookState) for (body,) in rows]

    async def forget_others(self, webhooks: Collection[str]) -> None:
        gone = [(state.name,) for state in await self.all() if state.name not in webhooks]
        if gone:
            async with self._database.transaction() as session:
                await session.executemany("DELETE FROM webhook_state WHERE name = ?", gone)


def _conforms(retries: SqlWebhookRetries, states: SqlWebhookStates) -> tuple[WebhookRetries, WebhookStates]:
    return retries, states
