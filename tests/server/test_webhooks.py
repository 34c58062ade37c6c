"""Which webhooks run, what their owners let through, and on which node."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from config.model import Platform
from config.policies import Grant, Mask
from config.settings import Settings
from config.types import convert
from core.records import ChangeSet
from core.secret import Secret
from core.supervise import Tasks
from exchange.intake import envelope_for
from server.parts import DELIVERIES, Parts, open_parts
from server.webhooks import Webhooks, plans_of, shown_by
from tests.exchange.receiver import SECRET, Receiver, receiving

_DATASET = {"object": "t", "key": ["id"], "fields": {"id": {"type": "integer"}, "phone": {}}}


def _platform(url: str = "https://a.example/", *, hooks: tuple[str, ...] = ("hook",), **app: Any) -> Platform:
    hook = {"url": url, "secrets": [SECRET], "services": ["orders"], "app": "shop", "allow_private": ["127.0.0.0/8"]}
    document = {
        "apps": {"shop": {"plan": "p", "scopes": ["orders:read"], **app}},
        "sources": {"crm": {"adapter": "x", "settings": {}, "datasets": {"orders": _DATASET}}},
        "services": {"orders": {"kind": "asynchronous", "dataset": "crm.orders"}},
        "webhooks": dict.fromkeys(hooks, hook),
    }
    return convert(document, Platform)


async def _until(what: str, condition: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(20):
            while not await condition():  # noqa: ASYNC110 -- another task's doing has no event here
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(what)


@asynccontextmanager
async def _kept(parts: Parts) -> AsyncIterator[Webhooks]:
    failures: list[str] = []
    tasks = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    webhooks = Webhooks(parts, tasks)
    task = tasks.keep(webhooks.keep, name="webhooks")
    try:
        yield webhooks
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await tasks.close()
    assert failures == []


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as stack:
        yield await open_parts(Settings(data_dir=tmp_path, master_key=Secret("k" * 32)), stack, role=DELIVERIES)


def _subscriptions(parts: Parts, count: int) -> Callable[[], Awaitable[bool]]:
    async def are_so_many() -> bool:
        return sum(name.startswith("webhook:") for name in await parts.bus.depth()) == count

    return are_so_many


def _has_got(receiver: Receiver, count: int) -> Callable[[], Awaitable[bool]]:
    async def has_got() -> bool:
        return len(receiver.taken()) >= count

    return has_got


async def _publish(parts: Parts, number: int) -> None:
    changes = ChangeSet("crm.orders", "upsert", ("id", "phone"), [(number, "13800000000")], 1)
    await parts.bus.publish([envelope_for(changes, source="s")])


def test_a_webhook_of_an_app_that_may_not_read_is_not_run() -> None:
    assert plans_of(_platform()).keys() == {"hook"}
    assert plans_of(_platform(enabled=False)) == {}
    assert plans_of(_platform(scopes=[])) == {}


def test_a_grant_narrows_and_masks_and_another_grant_is_another_plan() -> None:
    grant = Grant(fields=("id", "phone"), masks={"phone": Mask(last=4)})
    assert shown_by(grant)({"id": 1, "phone": "13812345678", "name": "x"}) == {"id": 1, "phone": "1381234****"}
    assert shown_by(Grant(operations=("changes",)))({"id": 1}) == shown_by(None)({"id": 1}) == {"id": 1}
    assert plans_of(_platform()) == plans_of(_platform())
    assert plans_of(_platform()) != plans_of(_platform(grants={"orders": {"fields": ["id"]}}))


async def test_a_reload_starts_masks_pauses_and_removes(parts: Parts) -> None:
    async with receiving() as receiver, _kept(parts) as webhooks:
        webhooks.reload(_platform(receiver.url))
        await _until("it listens", _subscriptions(parts, 1))
        await _publish(parts, 1)
        await _until("it came", _has_got(receiver, 1))
        assert receiver.taken() == [{"id": 1, "phone": "13800000000"}]
        webhooks.reload(_platform(receiver.url, enabled=False))
        await asyncio.sleep(0.5)
        await _publish(parts, 2)
        await asyncio.sleep(0.5)
        assert len(receiver.taken()) == 1, "its owner is disabled"
        webhooks.reload(_platform(receiver.url, grants={"orders": {"fields": ["id"]}}))
        await _until("what was kept came", _has_got(receiver, 2))
        assert receiver.taken()[1] == {"id": 2}
        webhooks.reload(_platform(receiver.url, hooks=()))
        await _until("its subscription is gone", _subscriptions(parts, 0))
        assert await parts.webhook_states.all() == []


async def test_only_the_holder_of_the_lease_sends(parts: Parts) -> None:
    async with receiving() as receiver:
        assert await parts.job_states.lease(".webhooks", owner="another node", ttl_s=1.0)
        async with _kept(parts) as webhooks:
            webhooks.reload(_platform(receiver.url))
            await asyncio.sleep(0.5)
            assert await _subscriptions(parts, 0)()
            await _until("it takes over when the other is gone", _subscriptions(parts, 1))
