"""The mirror's sink: idempotent, tells of real changes only, and refuses what is no change set."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from core.bus import Subscription
from core.errors import InvalidInput
from core.records import ChangeSet
from exchange.intake import envelope_for
from exchange.sinks import MirrorSink, change_set
from tests.exchange.feed import CUSTOMERS, NAME, Feed, exchange_on

CHANGES = ChangeSet(NAME, "upsert", CUSTOMERS.columns, [[1, "a", 1], [2, "b", 1]], 100)


async def test_a_replay_changes_and_tells_nothing(tmp_path: Path) -> None:
    async with exchange_on(tmp_path, Feed()) as exchange:
        caches = await exchange.bus.subscribe(Subscription(name="c", pattern="changed.#", channel="control", durable=False))
        sink, envelope = MirrorSink(exchange.mirror, exchange.bus, node="n1"), envelope_for(CHANGES, source="B")
        for _ in range(3):
            await sink(envelope)
        told = await asyncio.wait_for(caches.next(), 60)
        assert msgspec.json.decode(told.envelope.data) == {"dataset": NAME, "version": 2}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caches.next(), 0.2)
        assert await exchange.mirror.version(NAME) == 2


def test_what_is_no_change_set_is_refused_by_name() -> None:
    envelope = envelope_for(CHANGES, source="B")
    assert change_set(envelope) == CHANGES
    for wrong in (replace(envelope, content_type="text/plain"), replace(envelope, data=b"\xc1"), replace(envelope, data=b"\x90")):
        with pytest.raises(InvalidInput, match=envelope.id):
            change_set(wrong)
