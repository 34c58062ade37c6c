"""The transport on RabbitMQ: the suite of all transports against a real broker, and the broker's own faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aio_pika
import pytest

from bus.rabbitmq import RabbitTransport
from core.bus import Subscription
from core.errors import Limited, NotConnected, PlatformError, Unavailable
from tests.conformance.transport_suite import Open, TransportConformance, envelope, eventually, take, take_all
from tests.servers.rabbitmq import RabbitMQBroker

pytestmark = pytest.mark.servers


@pytest.fixture
def process_address(rabbitmq_url: str) -> str:
    return rabbitmq_url


@pytest.fixture
async def open_transport(rabbitmq_url: str) -> AsyncIterator[Open]:
    opened: list[RabbitTransport] = []

    async def open_one() -> RabbitTransport:
        transport = RabbitTransport(rabbitmq_url, node=f"node-{len(opened)}", keep_s=3600)
        opened.append(transport)
        await transport.open()
        return transport

    yield open_one
    for transport in opened:
        await transport.close()


class TestRabbitTransport(TransportConformance):
    process_kind = "rabbitmq"


async def test_a_broker_that_is_not_there_is_named_without_its_password(free_port: int) -> None:
    transport = RabbitTransport(f"amqp://user:s3cret@127.0.0.1:{free_port}/", node="n")
    with pytest.raises((NotConnected, Unavailable), match=f"127.0.0.1:{free_port}") as caught:
        await transport.open()
    assert "s3cret" not in caught.value.detail


async def test_a_wrong_password_is_told_and_not_shown(rabbitmq_url: str) -> None:
    transport = RabbitTransport(rabbitmq_url.replace("guest:guest", "guest:s3cret"), node="n")
    with pytest.raises(NotConnected, match="password") as caught:
        await transport.open()
    assert "s3cret" not in caught.value.detail


async def test_a_full_queue_refuses_and_takes_again_when_it_was_read(open_transport: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.rabbitmq_queues.MAX_QUEUE_BYTES", 20_000)
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#", prefetch=1))
    stored = 0

    async def fill() -> None:
        nonlocal stored
        while stored < 100:
            await transport.publish([envelope(stored, data=b"x" * 3000)])
            stored += 1

    with pytest.raises(Limited, match="full"):
        await fill()
    assert 5 <= stored < 20
    assert await take_all(reader, stored) == [f"e{number}" for number in range(stored)]

    async def takes_again() -> bool:
        try:
            await transport.publish([envelope(100)])
        except Limited:
            return False
        return True

    await eventually(takes_again)


async def test_close_without_a_broker_ends(open_transport: Open, rabbitmq_server: RabbitMQBroker) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#"))
    await asyncio.to_thread(rabbitmq_server.kill)
    async with asyncio.timeout(60):
        await reader.close()
        await transport.close()


async def test_a_long_retry_waits_at_the_broker(open_transport: Open, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.rabbitmq_reader._HELD_UP_TO_S", 0.1)
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#"))
    await transport.publish([envelope(0), envelope(1)])
    await (await take(reader)).retry("source away", delay_s=1.0)
    assert await take_all(reader, 1) == ["e1"]

    async def waits() -> bool:
        return await transport.depth() == {"mirror": 1}

    await eventually(waits)
    again = await take(reader)
    assert (again.envelope.id, again.attempt) == ("e0", 2)
    await again.ack()


async def test_foreign_bytes_become_a_dead_letter(open_transport: Open, rabbitmq_url: str) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#"))
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("zhiyun.data")
        await exchange.publish(aio_pika.Message(b"\xc1 not an envelope"), "sales.orders.upsert")
    await transport.publish([envelope(1)])
    assert await take_all(reader, 1) == ["e1"]

    async def is_dead() -> bool:
        return bool(await transport.dead_letters())

    await eventually(is_dead)
    (letter,) = await transport.dead_letters()
    assert letter.envelope.data == b"\xc1 not an envelope"
    assert "no envelope" in letter.cause


@pytest.mark.req("0.02")
async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(open_transport: Open, rabbitmq_server: RabbitMQBroker) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#"))
    await transport.publish([envelope(number) for number in range(20)])
    assert await take_all(reader, 5) == [f"e{number}" for number in range(5)]
    held = await take(reader)
    await asyncio.to_thread(rabbitmq_server.kill)
    began = asyncio.get_running_loop().time()
    with pytest.raises((NotConnected, Unavailable)):
        await transport.publish([envelope(99)])
    assert asyncio.get_running_loop().time() - began < 60
    with pytest.raises(PlatformError):
        await held.ack()
    await asyncio.to_thread(rabbitmq_server.start)

    async def takes_again() -> bool:
        try:
            await transport.publish([envelope(20)])
        except (NotConnected, Unavailable):
            return False
        return True

    await eventually(takes_again)
    received = []
    async with asyncio.timeout(60):
        while "e20" not in received:
            delivery = await reader.next()
            await delivery.ack()
            received.append(delivery.envelope.id)
    assert set(received) >= {f"e{number}" for number in range(5, 21)}


async def test_nothing_confirmed_is_lost_when_the_broker_is_killed_amid_publishing(
    open_transport: Open, rabbitmq_server: RabbitMQBroker
) -> None:
    transport = await open_transport()
    reader = await transport.subscribe(Subscription("mirror", "#", prefetch=100))
    confirmed: list[str] = []
    is_over = asyncio.Event()

    async def publish(lane: int) -> None:
        number = lane
        while not is_over.is_set():
            try:
                await transport.publish([envelope(number)])
            except (NotConnected, Unavailable):
                continue  # the same again: at least once
            confirmed.append(f"e{number}")
            number += 10

    received: set[str] = set()
    async with asyncio.TaskGroup() as group, asyncio.timeout(240):
        for lane in range(10):
            group.create_task(publish(lane))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(rabbitmq_server.kill)
        before = len(confirmed)
        await asyncio.to_thread(rabbitmq_server.start)

        async def has_gone_on() -> bool:
            return len(confirmed) > before + 100

        await eventually(has_gone_on)
        is_over.set()
    async with asyncio.timeout(60):
        while not received.issuperset(confirmed):
            delivery = await reader.next()
            received.add(delivery.envelope.id)
            with suppress(Unavailable):  # handed out before the connection was lost; it comes again
                await delivery.ack()
    assert before > 20
