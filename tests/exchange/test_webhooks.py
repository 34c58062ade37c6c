"""A webhook at work against a real receiver, on SQLite and the embedded bus, and on RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bus.embedded import EmbeddedTransport
from bus.rabbitmq import RabbitTransport
from config.webhooks import Webhook
from core.bus import Transport
from core.records import ChangeSet
from core.schema import Record
from core.secret import Secret
from exchange.change_feed import Feed
from exchange.intake import envelope_for
from exchange.webhooks import WebhookRun
from storage.sqlite import open_sqlite
from storage.webhooks import SqlWebhookRetries, SqlWebhookStates
from tests.exchange.receiver import SECRET, Receiver, receiving

_NAME = "crm.orders"


def _shown(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "secret"}


_FEED = Feed("orders", _NAME, ("id",), _shown)


@dataclass
class Node:
    bus: Transport
    retries: SqlWebhookRetries
    states: SqlWebhookStates

    async def publish(self, rows: Sequence[Sequence[Any]], op: Any = "upsert") -> None:
        changes = ChangeSet(_NAME, op, ("id", "v", "secret"), list(rows), 1_700_000_000_000)
        await self.bus.publish([envelope_for(changes, source="SYNC1")])

    @asynccontextmanager
    async def running(self, webhook: Webhook, *, max_waiting: int = 10_000) -> AsyncIterator["asyncio.Task[None]"]:
        """As it runs on a node; it is killed at the end, as the node would be."""
        run = WebhookRun("hook", webhook, [_FEED], bus=self.bus, retries=self.retries, states=self.states, max_waiting=max_waiting)
        task = asyncio.ensure_future(run.run())
        try:
            async with asyncio.timeout(20):
                while not task.done() and _FEED.subscription("hook") not in await self.bus.depth():  # noqa: ASYNC110 -- no event
                    await asyncio.sleep(0.01)
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def _node_on(folder: Path, bus: Transport) -> AsyncIterator[Node]:
    database = await open_sqlite(folder / "platform.db")
    made = Node(bus, SqlWebhookRetries(database), SqlWebhookStates(database))
    await made.retries.prepare()
    await made.states.prepare()
    yield made
    await bus.close()
    await database.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    bus = EmbeddedTransport(tmp_path / "bus.db")
    await bus.open()
    async with _node_on(tmp_path, bus) as made:
        yield made


@pytest.fixture
async def rabbit_node(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Node]:
    bus = RabbitTransport(rabbitmq_url, node="node")
    await bus.open()
    async with _node_on(tmp_path, bus) as made:
        yield made


def _hook(receiver: Receiver, **changed: Any) -> Webhook:
    hook = Webhook(receiver.url, (Secret(SECRET),), ("orders",), "app", first_delay_s=0.1, max_delay_s=0.2, retry_s=60.0)
    return replace(hook, allow_private=("127.0.0.0/8",), **changed)


async def _until(what: str, condition: Callable[[], bool | Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(20):
            while True:
                found = condition()
                if found if isinstance(found, bool) else await found:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(what)


async def test_every_record_arrives_signed_and_as_its_owner_may_see_it(node: Node) -> None:
    async with receiving() as receiver, node.running(_hook(receiver)):
        await node.publish([(n, "a", "s3cret") for n in range(200)])
        await _until("all came", lambda: len(receiver.taken()) == 200)
        assert sorted(record["id"] for record in receiver.taken()) == list(range(200))
        assert all("secret" not in record for record in receiver.taken())
        assert receiver.forged == 0
        assert 1 < receiver.most_at_once <= 4
        await _until("it is settled", lambda: _is_settled(node))
    state = await node.states.get("hook")
    assert state is not None
    assert (state.delivered, state.failed, state.waiting) == (200, 0, 0)


async def _is_settled(node: Node) -> bool:
    return (await node.bus.depth())[_FEED.subscription("hook")] == 0


async def test_one_bad_record_holds_back_its_own_key_alone_and_order_per_key_is_kept(node: Node) -> None:
    bad = True

    def judge(event: dict[str, Any]) -> int:
        return 500 if bad and event["data"]["records"][0]["id"] == 7 else 200

    async with receiving() as receiver, node.running(_hook(receiver)):
        receiver.judge = judge
        for version in range(5):
            await node.publish([(n, version, "") for n in range(60)])
        await _until("the others came", lambda: len({record["id"] for record in receiver.taken()}) > 50)
        assert all(record["id"] != 7 for record in receiver.taken())
        await _until("the bus goes on", lambda: _is_settled(node))
        bad = False
        await _until("all came", lambda: len(receiver.taken()) == 300)
        await _until("nothing waits", lambda: _none_waits(node))
        for key in range(60):
            assert [record["v"] for record in receiver.taken() if record["id"] == key] == [0, 1, 2, 3, 4]


async def _none_waits(node: Node) -> bool:
    return await node.retries.count("hook") == 0


async def test_what_waits_goes_out_after_the_process_died(node: Node) -> None:
    async with receiving() as receiver:
        receiver.judge = lambda event: 503
        async with node.running(_hook(receiver)):
            await node.publish([(n, "a", "") for n in range(20)])
            await _until("they were refused", lambda: len(receiver.got) >= 20)
            await _until("they wait", lambda: _is_settled(node))
        receiver.judge = lambda event: 200
        async with node.running(_hook(receiver)):
            await _until("all came", lambda: len(receiver.taken()) == 20)


async def test_after_its_span_a_message_is_a_dead_letter_and_redelivered_the_same(node: Node) -> None:
    async with receiving() as receiver, node.running(_hook(receiver, retry_s=1.0)):
        receiver.judge = lambda event: 500
        await node.publish([(1, "a", "s3cret")])
        await _until("it is dead", lambda: _is_dead(node))
        (letter,) = await node.bus.dead_letters()
        assert letter.subscription == _FEED.subscription("hook")
        assert "it answered 500" in letter.cause
        assert letter.attempts == len(receiver.got) >= 3
        assert "s3cret" not in letter.cause
        receiver.judge = lambda event: 200
        await node.publish([(1, "b", "")])
        await _until("the next goes on", lambda: len(receiver.taken()) == 1)
        await node.bus.redeliver(letter.id)
        await _until("the dead came", lambda: len(receiver.taken()) == 2)
        assert len({message_id for message_id, _, _ in receiver.got}) == 2, "it kept its webhook-id"
        assert await node.bus.dead_letters() == []


async def _is_dead(node: Node) -> bool:
    return bool(await node.bus.dead_letters())


async def test_410_ends_it_until_its_url_is_another_and_nothing_is_lost(node: Node) -> None:
    async with receiving() as receiver:
        receiver.judge = lambda event: 410
        async with node.running(_hook(receiver)) as task:
            await node.publish([(n, "a", "") for n in range(10)])
            async with asyncio.timeout(20):
                await task
        state = await node.states.get("hook")
        assert state is not None
        assert state.state == "gone"
        before = len(receiver.got)
        async with node.running(_hook(receiver)) as task:
            async with asyncio.timeout(20):
                await task
        assert len(receiver.got) == before, "it was asked again"
        receiver.judge = lambda event: 200
        async with node.running(_hook(receiver, url=receiver.url + "?v=2")):
            await _until("all came", lambda: len(receiver.taken()) == 10)


async def test_retry_after_is_honoured(node: Node) -> None:
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    def judge(event: dict[str, Any]) -> tuple[int, dict[str, str]]:
        moments.append(loop.time())
        return (429, {"Retry-After": "2"}) if len(moments) == 1 else (200, {})

    async with receiving() as receiver, node.running(_hook(receiver)):
        receiver.judge = judge
        await node.publish([(1, "a", "")])
        await _until("it came", lambda: len(receiver.taken()) == 1)
    assert moments[1] - moments[0] >= 2.0


async def test_a_full_waiting_room_leaves_the_rest_on_the_bus(node: Node) -> None:
    async with receiving() as receiver, node.running(_hook(receiver), max_waiting=30):
        receiver.judge = lambda event: 500
        for start in range(0, 200, 10):
            await node.publish([(n, "a", "") for n in range(start, start + 10)])
        await _until("the room is full", lambda: _waits(node, 30))
        await asyncio.sleep(0.5)
        assert await node.retries.count("hook") <= 30 + 20, "at most the envelopes that were in hand came in after it"
        assert (await node.bus.depth())[_FEED.subscription("hook")] >= 15
        receiver.judge = lambda event: 200
        await _until("all came", lambda: len({record["id"] for record in receiver.taken()}) == 200)


async def _waits(node: Node, count: int) -> bool:
    return await node.retries.count("hook") >= count


async def test_a_private_address_is_never_called(node: Node) -> None:
    async with receiving() as receiver:
        hook = replace(_hook(receiver, retry_s=1.0), allow_private=("10.0.0.0/8",))
        async with node.running(hook):
            await node.publish([(1, "a", "")])
            await _until("it is dead", lambda: _is_dead(node))
            assert "not public" in (await node.bus.dead_letters())[0].cause
        assert receiver.got == []


async def test_a_receiver_that_lost_changes_is_told_to_read_anew(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.embedded_log._GRACE_MS", -1)
    monkeypatch.setattr("bus.embedded_log._TRIM_STEP", 5)
    assert isinstance(node.bus, EmbeddedTransport)
    node.bus._max_bytes = 20_000
    async with receiving() as receiver:
        async with node.running(_hook(receiver)):
            pass  # its subscription is declared
        for number in range(60):
            await node.publish([(number, "x" * 1000, "")])
        async with node.running(_hook(receiver)):
            await _until("it was told", lambda: any(event["type"] == "zhiyun.orders.resync" for _, _, event in receiver.got))
            await _until("the rest came", lambda: _is_settled(node))
        kept = sorted(record["id"] for record in receiver.taken())
        assert kept == list(range(60 - len(kept), 60))
        assert 5 < len(kept) < 30


@pytest.mark.servers
async def test_on_rabbitmq_as_on_the_embedded_bus(rabbit_node: Node) -> None:
    """Refused ones wait while others go on, a restart goes on with both, and what is given up is a dead letter of the broker's."""
    node, bad = rabbit_node, {7, 8}
    async with receiving() as receiver:
        receiver.judge = lambda event: 503 if event["data"]["records"][0]["id"] in bad else 200
        async with node.running(_hook(receiver)):
            await node.publish([(n, 1, "s3cret") for n in range(60)])
            await _until("the others came", lambda: len(receiver.taken()) > 40)
            await _until("the queue goes on", lambda: _is_settled(node))
        await node.publish([(n, 2, "s3cret") for n in range(60)])  # while none runs
        bad.discard(7)
        async with node.running(_hook(receiver, retry_s=3.0)):
            await _until(
                "all but one came", lambda: {record["id"] for record in receiver.taken() if record["v"] == 2} >= {*range(60)} - bad
            )
            await _until("it was given up", lambda: _are_dead(node))
            assert [record["v"] for record in receiver.taken() if record["id"] == 7] == [1, 2]
        assert all(record["id"] != 8 for record in receiver.taken())
        assert all("secret" not in record for record in receiver.taken())
    await node.bus.unsubscribe(_FEED.subscription("hook"))
    assert _FEED.subscription("hook") not in await node.bus.depth()


async def _are_dead(node: Node) -> bool:
    found = await node.bus.dead_letters(limit=10)
    return len(found) >= 2 and await _none_waits(node)
