"""Purges as both databases keep them, and the purger that tells every node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bus.embedded import EmbeddedTransport
from core.bus import Subscription
from core.clock import epoch_ms
from core.database import Database
from core.errors import Unavailable
from core.ids import new_id
from core.purges import PURGED_PATTERN, Purge, purge_of
from registry.purges import Purger, SqlPurges
from storage.sqlite import open_sqlite


@pytest.fixture
def purges(any_database: Database) -> SqlPurges:
    return SqlPurges(any_database)


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(tmp_path / "bus.db")
    await transport.open()
    yield transport
    await transport.close()


def purge(route: str = "goods", prefix: str = "", *, at_ms: int | None = None) -> Purge:
    return Purge(new_id(), route, prefix, epoch_ms() if at_ms is None else at_ms, "li")


async def test_they_are_read_in_the_order_of_their_numbers(purges: SqlPurges) -> None:
    assert await purges.read(since=0) == []
    made = [await purges.add(purge(prefix=f"/{number}" * 200)) for number in range(4)]
    assert [each.number for each in made] == [1, 2, 3, 4]
    assert await purges.read(since=0) == made
    assert await purges.read(since=made[1].number, limit=1) == [made[2]]


async def test_numbers_have_no_gap_where_several_write_at_once(purges: SqlPurges) -> None:
    made = await asyncio.gather(*(purges.add(purge()) for _ in range(8)))
    assert sorted(each.number for each in made) == list(range(1, 9))
    assert [each.number for each in await purges.read(since=0)] == list(range(1, 9))


async def test_one_is_forgotten_after_a_day_and_its_number_not_used_again(purges: SqlPurges) -> None:
    await purges.add(purge(at_ms=epoch_ms() - 25 * 3_600_000))
    kept = await purges.add(purge())
    assert await purges.read(since=0) == [kept]
    assert kept.number == 2


async def test_every_node_is_told(purges: SqlPurges, bus: EmbeddedTransport) -> None:
    reader = await bus.subscribe(Subscription("gateway", PURGED_PATTERN, channel="control", durable=False))
    done = await Purger(purges, bus, node="office").purge("goods", "/goods/7", by="li")
    assert (done.route, done.prefix, done.by, done.number) == ("goods", "/goods/7", "li", 1)
    async with asyncio.timeout(10):
        assert purge_of((await reader.next()).envelope) == done


async def test_the_nodes_are_told_although_the_database_is_down(tmp_path: Path, bus: EmbeddedTransport) -> None:
    database = await open_sqlite(tmp_path / "platform.db")
    await database.close()
    reader = await bus.subscribe(Subscription("gateway", PURGED_PATTERN, channel="control", durable=False))
    with pytest.raises(Unavailable):
        await Purger(SqlPurges(database), bus, node="office").purge("goods", "", by="li")
    async with asyncio.timeout(10):
        assert purge_of((await reader.next()).envelope).number == 0


async def test_it_is_kept_although_the_bus_is_down(purges: SqlPurges, tmp_path: Path) -> None:
    bus = EmbeddedTransport(tmp_path / "closed.db")
    await bus.open()
    await bus.close()
    done = await Purger(purges, bus, node="office").purge("goods", "", by="li")
    assert await purges.read(since=0) == [done]


async def test_a_message_of_another_kind_is_no_purge(bus: EmbeddedTransport, purges: SqlPurges) -> None:
    reader = await bus.subscribe(Subscription("gateway", PURGED_PATTERN, channel="control", durable=False))
    await Purger(purges, bus, node="office").purge("goods", "", by="li")
    envelope = (await reader.next()).envelope
    with pytest.raises(msgspec.MsgspecError):
        purge_of(msgspec.structs.replace(envelope, data=b'{"route": 1}'))
