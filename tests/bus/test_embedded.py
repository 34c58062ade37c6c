"""The embedded transport: the suite of all transports, and what is its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.embedded import EmbeddedTransport
from core.bus import LOST_TYPE, Subscription
from core.errors import Limited, Unavailable
from tests.conformance.transport_suite import Open, TransportConformance, envelope, eventually, take, take_all


@pytest.fixture
def process_address(tmp_path: Path) -> str:
    return str(tmp_path / "bus.db")


@pytest.fixture
async def open_transport(process_address: str) -> AsyncIterator[Open]:
    opened: list[EmbeddedTransport] = []

    async def open_one() -> EmbeddedTransport:
        transport = EmbeddedTransport(Path(process_address), keep_s=3600)
        opened.append(transport)
        await transport.open()
        return transport

    yield open_one
    for transport in opened:
        await transport.close()


class TestEmbeddedTransport(TransportConformance):
    process_kind = "embedded"


async def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    path.write_bytes(b"this is not a database at all" * 500)
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"bus\.db.*damaged.*restore") as caught:
        await EmbeddedTransport(path).open()
    assert caught.value.specific_code == "database_damaged"
    assert path.read_bytes() == before


async def test_damage_in_the_middle_is_unavailable_for_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    transport = EmbeddedTransport(path)
    await transport.open()
    await transport.subscribe(Subscription("mirror", "#"))
    await transport.publish([envelope(number, data=b"x" * 3000) for number in range(200)])
    await transport.close()
    content = bytearray(path.read_bytes())
    content[4096 * 12 :] = b"\xff" * (len(content) - 4096 * 12)
    path.write_bytes(content)
    again = EmbeddedTransport(path)
    await again.open()
    try:
        reader = await again.subscribe(Subscription("mirror", "#"))
        with pytest.raises(Unavailable, match=r"bus\.db"):
            await take_all(reader, 200)
    finally:
        await again.close()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nowhere/bus\.db.*folder must exist"):
        await EmbeddedTransport(tmp_path / "nowhere" / "bus.db").open()


@pytest.mark.req("0.02")
async def test_a_full_bus_refuses_and_takes_again_when_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.embedded_log._GRACE_MS", -1)
    transport = EmbeddedTransport(tmp_path / "bus.db", max_bytes=10_000)
    await transport.open()
    try:
        reader = await transport.subscribe(Subscription("mirror", "#"))
        await transport.publish([envelope(number, data=b"x" * 3000) for number in range(3)])
        with pytest.raises(Limited, match="bus is full") as caught:
            await transport.publish([envelope(3, data=b"x" * 3000)])
        assert caught.value.retry_after_s > 0
        await transport.publish([envelope(9, topic="control.reload")], channel="control")
        await take_all(reader, 3)
        await transport.publish([envelope(3, data=b"x" * 3000)])
        assert await take_all(reader, 1) == ["e3"]
    finally:
        await transport.close()


async def test_settled_messages_are_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.embedded_log._GRACE_MS", -1)
    monkeypatch.setattr("bus.embedded._TRIM_S", 0.01)
    transport = EmbeddedTransport(tmp_path / "bus.db")
    await transport.open()
    try:
        fast = await transport.subscribe(Subscription("fast", "#", prefetch=100))
        slow = await transport.subscribe(Subscription("slow", "#", prefetch=100))
        await transport.publish([envelope(number) for number in range(100)])
        await take_all(fast, 100)
        await asyncio.sleep(0.1)
        assert await take_all(slow, 100) == [f"e{number}" for number in range(100)]

        async def is_empty() -> bool:
            return not await transport.read(lambda db: db.execute("SELECT count(*) FROM data_messages").fetchone()[0])

        await eventually(is_empty)
    finally:
        await transport.close()


async def test_a_cancelled_wait_costs_no_attempt_and_no_envelope(open_transport: Open) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#", max_attempts=1))
    await transport.publish([envelope(0)])
    for wait_s in (0.0, 0.0001, 0.0005):
        try:
            async with asyncio.timeout(wait_s):
                delivery = await reader.next()
        except TimeoutError:
            continue
        break
    else:
        delivery = await take(reader)
    assert (delivery.envelope.id, delivery.attempt) == ("e0", 1)
    await delivery.ack()


async def test_a_topic_without_readers_holds_nothing_back(open_transport: Open) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("rare", "rare.#"))
    await transport.publish([envelope(number) for number in range(3000)])
    await transport.publish([envelope(3000, topic="rare.one")])
    assert await take_all(reader, 1) == ["e3000"]
    assert await transport.depth() == {"rare": 0}


async def test_what_another_process_publishes_is_seen(open_transport: Open) -> None:
    reading, publishing = await open_transport(), await open_transport()  # two connections see each other as processes do
    reader = await reading.subscribe(Subscription("mirror", "#"))
    for number in range(10):
        await asyncio.sleep(0.03)
        await publishing.publish([envelope(number)])
        assert await take_all(reader, 1) == [f"e{number}"]


async def test_a_retry_that_waited_when_the_bus_was_closed_goes_on_waiting(open_transport: Open) -> None:
    first = await open_transport()
    reader = await first.subscribe(Subscription("mirror", "#"))
    await first.publish([envelope(0), envelope(1)])
    delivery, began = await take(reader), time.monotonic()
    await delivery.retry("source away", delay_s=0.8)
    await first.close()
    again = await (await open_transport()).subscribe(Subscription("mirror", "#"))
    delivery = await take(again)
    assert (delivery.envelope.id, delivery.attempt) == ("e0", 2)
    assert time.monotonic() - began >= 0.75


async def test_settled_out_of_order_comes_not_again(open_transport: Open) -> None:
    first = await open_transport()
    reader = await first.subscribe(Subscription("mirror", "#"))
    await first.publish([envelope(number) for number in range(4)])
    held = [await take(reader) for _ in range(3)]
    await held[1].ack()
    await held[2].bury("no key")
    await first.close()
    second = await open_transport()
    again = await second.subscribe(Subscription("mirror", "#"))
    assert await second.depth() == {"mirror": 2}
    assert await take_all(again, 2) == ["e0", "e3"]
    assert await second.depth() == {"mirror": 0}


async def test_a_full_log_drops_what_only_a_yielding_subscription_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.embedded_log._GRACE_MS", -1)
    monkeypatch.setattr("bus.embedded_log._TRIM_STEP", 5)
    transport = EmbeddedTransport(tmp_path / "bus.db", max_bytes=40_000)
    await transport.open()
    try:
        firm = await transport.subscribe(Subscription("mirror", "#"))
        slow = await transport.subscribe(Subscription("hook", "sales.#", yields=True))
        for number in range(60):  # 60 x 1 kB go through, past a subscription that reads nothing
            await transport.publish([envelope(number, data=b"x" * 1000)])
            assert await take_all(firm, 1) == [f"e{number}"]
        got = []
        while (await transport.depth())["hook"]:
            delivery = await take(slow)
            await delivery.ack()
            got.append(delivery.envelope)
        lost = [each for each in got if each.content_type == LOST_TYPE]
        kept = [each.id for each in got if each.content_type != LOST_TYPE]
        assert len(lost) >= 1
        assert 20 <= len(kept) < 40, "no more was dropped than had to be"
        assert kept == [f"e{number}" for number in range(60 - len(kept), 60)], "the oldest went"
    finally:
        await transport.close()


async def test_nothing_is_dropped_that_a_firm_subscription_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.embedded_log._GRACE_MS", -1)
    transport = EmbeddedTransport(tmp_path / "bus.db", max_bytes=10_000)
    await transport.open()
    try:
        firm = await transport.subscribe(Subscription("mirror", "#"))
        await transport.subscribe(Subscription("hook", "#", yields=True))
        for number in range(9):
            await transport.publish([envelope(number, data=b"x" * 1000)])
        with pytest.raises(Limited):
            await transport.publish([envelope(9, data=b"x" * 1000)])
        depth = await transport.depth()
        assert depth["mirror"] == depth["hook"] == 9
        assert await take_all(firm, depth["mirror"]) == [f"e{number}" for number in range(depth["mirror"])]
    finally:
        await transport.close()
