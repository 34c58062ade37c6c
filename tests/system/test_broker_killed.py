"""RabbitMQ killed with SIGKILL three times while 200,000 records flow to the mirror: none lost, none doubled (issue 4)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bus.rabbitmq import RabbitTransport
from config.model import Retry
from core.records import ChangeSet
from core.stores import Applied
from tests.exchange.feed import NAME, Exchange, Feed, exchange_on, platform
from tests.servers.rabbitmq import RabbitMQBroker

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]
_ROWS = 200_000
_BATCH = 500


async def _until(what: str, condition: Any, within_s: float = 150.0) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what}: not within {within_s:g} s")


@pytest.mark.req("0.27")
async def test_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, rabbitmq_server: RabbitMQBroker, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed([(number, f"人{number}", number) for number in range(_ROWS)])
    bus = RabbitTransport(rabbitmq_url, node="n1")
    await bus.open()
    changed, applied = 0, 0
    async with exchange_on(tmp_path, feed, bus=bus, faults=[]) as exchange:
        inner = exchange.mirror.apply

        async def counted(changes: ChangeSet) -> Applied:
            nonlocal changed, applied
            result = await inner(changes)
            changed, applied = changed + result.changed, applied + len(changes.rows)
            return result

        monkeypatch.setattr(exchange.mirror, "apply", counted)
        exchange.runner.reload(platform(batch_rows=_BATCH, retry=Retry(attempts=100, delay_s=0.5)))
        for share in (0.15, 0.4, 0.65):
            await _until(f"{share:.0%} are mirrored", lambda share=share: _has(exchange, int(share * _ROWS)))
            await asyncio.to_thread(rabbitmq_server.kill)
            await asyncio.sleep(0.3)  # both sides see the dead broker
            await asyncio.to_thread(rabbitmq_server.start)
        await _until("all are mirrored", lambda: _has(exchange, _ROWS))
        runs = await exchange.ended(1)
        assert runs[0].state == "succeeded"
        assert changed == _ROWS, f"{applied} were delivered"
        feed_of_changes = await exchange.mirror.changes(NAME, since=0, limit=_ROWS * 2)
        assert len(feed_of_changes) == _ROWS
        assert {row.record["id"] for row in feed_of_changes} == set(range(_ROWS))
        assert sum(feed.acknowledged) >= _ROWS
        assert len(runs) >= 2 or applied > _ROWS, "the broker's deaths were felt"
        assert runs[0].bad_rows == 0


async def _has(exchange: Exchange, count: int) -> bool:
    return await exchange.mirror.count(NAME) >= count
