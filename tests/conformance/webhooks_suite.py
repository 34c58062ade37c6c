"""What the stores of webhooks must do (core.webhooks), on each database."""

from msgspec.structs import replace

from core.bus import Envelope
from core.database import Database
from core.webhooks import Waiting, WebhookState
from storage.webhooks import SqlWebhookRetries, SqlWebhookStates


def waiting(number: int, lane: int, *, webhook: str = "hook") -> Waiting:
    envelope = Envelope(f"m{number}", "crm.orders.upsert", "SYNC1", 1, "k", 1, "x", b"\x00\xff")
    return Waiting(webhook, "orders", lane, envelope, since_ms=10, due_ms=20)


class WebhooksSuite:
    """Sub-classes give `database`."""

    async def test_each_lane_keeps_the_order_it_was_added_in(self, database: Database) -> None:
        store = SqlWebhookRetries(database)
        await store.prepare()
        await store.prepare()
        await store.add([waiting(1, 5), waiting(2, 5), waiting(3, 9)])
        await store.add([waiting(4, 9), waiting(2, 5), waiting(9, 5, webhook="other")])  # 2 is known
        assert await store.heads("hook") == [waiting(1, 5), waiting(3, 9)]
        assert (await store.count("hook"), await store.count("other")) == (5 - 1, 1)
        tried = replace(waiting(1, 5), attempts=1, due_ms=99, cause="it answered 500")
        await store.note(tried)
        assert (await store.heads("hook"))[0] == tried
        await store.remove("hook", "m1")
        assert await store.heads("hook") == [waiting(2, 5), waiting(3, 9)]

    async def test_what_waits_outlives_its_process(self, database: Database) -> None:
        store = SqlWebhookRetries(database)
        await store.prepare()
        await store.add([waiting(1, 5)])
        assert await SqlWebhookRetries(database).heads("hook") == [waiting(1, 5)]

    async def test_what_is_not_declared_any_more_is_forgotten(self, database: Database) -> None:
        store, states = SqlWebhookRetries(database), SqlWebhookStates(database)
        await store.prepare()
        await states.prepare()
        await store.add([waiting(1, 5), waiting(2, 5, webhook="other")])
        await states.keep(WebhookState("hook", delivered=3))
        await states.keep(WebhookState("other"))
        await store.forget_others({"hook": 1})
        await states.forget_others({"hook": 1})
        assert (await store.count("hook"), await store.count("other")) == (1, 0)
        assert await states.all() == [WebhookState("hook", delivered=3)]
        assert await states.get("other") is None
        await states.keep(WebhookState("hook", state="gone"))
        assert await states.get("hook") == WebhookState("hook", state="gone")
