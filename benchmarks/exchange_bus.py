"""Records through a real RabbitMQ and into the embedded log, for `benchmarks.exchange`.

Through RabbitMQ: packed, published to a durable quorum queue, confirmed, consumed, decoded once, acknowledged; broker, publisher
and consumer share the machine. The peer is a bare aio-pika loop that sends and decodes the same bytes; both take turns.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import aio_pika

from bus.embedded import EmbeddedTransport
from bus.packing import pack, unpack
from bus.rabbitmq import RabbitTransport
from core.bus import Envelope, Subscription, Transport
from core.clock import epoch_ms
from core.records import ChangeSet
from exchange.intake import envelope_for
from exchange.sinks import change_set

_FIELDS = ("id", "name", "mobile", "city", "address", "note", *(f"attribute_{n:02}" for n in range(18)))
_PUBLISHERS = 4
_PREFETCH = 64
BATCH = 100  # records of an envelope


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A real RabbitMQ; its URL."""
    from tests.servers.rabbitmq import RabbitMQBroker

    folder.mkdir()
    server = RabbitMQBroker(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.close()


def rich(count: int, source: str) -> ChangeSet:
    """Customers with 24 fields, about 1 KB each when packed."""
    rows = [
        (
            n,
            f"王小明{n % 977}",
            f"138{n % 10**8:08d}",
            "成都",
            "四川省成都市高新区天府大道北段1700号环球中心",
            "客户希望周末看房，偏好三居室，预算两百万以内。" * 4,
            *(f"值{n % 97}-{'x' * 24}" for _ in range(18)),
        )
        for n in range(count)
    ]
    return ChangeSet(f"{source}.customers", "upsert", _FIELDS, [*rows], epoch_ms())


class Way(Protocol):
    """Ours or the peer's: `publish` returns when all are confirmed; `consume` when so many records were decoded and settled."""

    async def publish(self, envelopes: list[Envelope]) -> None: ...

    async def consume(self, records: int) -> None: ...


class _Ours:
    """`source` is its own: what is measured goes to no queue of an earlier measurement."""

    def __init__(self, transport: Transport, source: str) -> None:
        self._transport = transport
        self._subscription = Subscription(f"{source}-ours", f"{source}.#", prefetch=_PREFETCH)

    async def publish(self, envelopes: list[Envelope]) -> None:
        await self._transport.publish(envelopes)

    async def consume(self, records: int) -> None:
        reader = await self._transport.subscribe(self._subscription)
        while records > 0:
            delivery = await reader.next()
            records -= len(change_set(delivery.envelope).rows)
            await delivery.ack()
        await reader.close()

    async def declare(self) -> None:
        await (await self._transport.subscribe(self._subscription)).close()


class _Bare:
    """aio-pika as its own examples have it."""

    def __init__(self, channel: Any, incoming: Any, exchange: Any, queue: Any) -> None:
        self._incoming = incoming
        self._exchange = exchange
        self._queue = queue
        self._channel = channel

    @classmethod
    async def made(cls, connection: Any, name: str) -> "_Bare":
        channel = await connection.channel()
        exchange = await channel.declare_exchange(f"{name}.exchange", "topic", durable=True)
        incoming = await connection.channel()
        await incoming.set_qos(prefetch_count=_PREFETCH)
        queue = await incoming.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, "#")
        return cls(channel, incoming, exchange, queue)

    async def publish(self, envelopes: list[Envelope]) -> None:
        mode = aio_pika.DeliveryMode.PERSISTENT
        messages = [(aio_pika.Message(pack(envelope), delivery_mode=mode), envelope.topic) for envelope in envelopes]
        await asyncio.gather(*(self._exchange.publish(message, topic, mandatory=False) for message, topic in messages))

    async def consume(self, records: int) -> None:
        async with self._queue.iterator() as messages:
            async for message in messages:
                records -= len(change_set(unpack(message.body)).rows)
                await message.ack()
                if records <= 0:
                    return


async def _seconds(way: Way, make: Callable[[int], Envelope], total: int, each: int, per_envelope: int) -> tuple[float, float]:
    """Wall and CPU seconds of this process for `total` envelopes, `each` a call of publish."""
    numbers = itertools.count()

    async def publisher() -> None:
        while (number := next(numbers)) < total // each:
            await way.publish([make(number * each + n) for n in range(each)])

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(way.consume(total // each * each * per_envelope), *(publisher() for _ in range(_PUBLISHERS)))
    return time.perf_counter() - started, time.process_time() - cpu


@asynccontextmanager
async def _ways(url: str, name: str) -> Any:
    transport = RabbitTransport(url, node="bench")
    await transport.open()
    connection = await aio_pika.connect(url)
    ours = _Ours(transport, name)
    await ours.declare()
    try:
        yield ours, await _Bare.made(connection, f"{name}-bare")
    finally:
        await transport.close()
        await connection.close()


async def through_rabbitmq(url: str, *, records: int, rounds: int) -> list[tuple[float, float, float, float]]:
    """Of each round records/s and CPU µs a record, ours and the bare client's; envelopes of BATCH records packed in the loop."""
    changes = rich(BATCH, "batches")

    def make(number: int) -> Envelope:
        return envelope_for(changes, source="bench", key=str(number))

    found = []
    async with _ways(url, "batches") as ways:
        for number in range(rounds + 1):
            figures: list[float] = []
            for way in ways:
                wall, cpu = await _seconds(way, make, records // BATCH, 5, BATCH)
                figures += [records / wall, cpu / records * 1e6]
            if number:
                found.append((figures[0], figures[1], figures[2], figures[3]))
    return found


async def single_messages(url: str, *, messages: int, rounds: int) -> list[tuple[float, float]]:
    """Of each round messages/s of one record each, ours and the bare client's."""
    changes = rich(1, "singles")

    def make(number: int) -> Envelope:
        return envelope_for(changes, source="bench", key=str(number))

    found = []
    async with _ways(url, "singles") as ways:
        for number in range(rounds + 1):
            rates = [messages / (await _seconds(way, make, messages, 50, 1))[0] for way in ways]
            if number:
                found.append((rates[0], rates[1]))
    return found


async def lone_record(url: str, *, count: int) -> list[float]:
    """Milliseconds from the call of publish until a reader has it, one at a time on a quiet broker."""
    transport = RabbitTransport(url, node="bench")
    await transport.open()
    reader = await transport.subscribe(Subscription("lone", "lone.#"))
    changes, taken = rich(1, "lone"), []
    for number in range(count):
        started = time.perf_counter()
        publishing = asyncio.ensure_future(transport.publish([envelope_for(changes, source="bench", key=str(number))]))
        delivery = await reader.next()
        taken.append((time.perf_counter() - started) * 1e3)
        await publishing
        await delivery.ack()
    await transport.close()
    return sorted(taken)


def small(number: int) -> Envelope:
    """A record of about 200 bytes."""
    changes = ChangeSet("log.lines", "upsert", ("id", "text"), [(number, "x" * 60)], epoch_ms())
    return envelope_for(changes, source="bench")


async def log_append(folder: Path, *, records: int, beside_per_s: int, seconds: float) -> tuple[float, float, list[float]]:
    """Records/s into the embedded log with group commit and fsync; then the pace kept beside, and the sorted ms of lone appends."""
    async with _log(folder / "log.db") as transport:
        many = [small(number) for number in range(2_000)]
        await transport.publish(many)
        rounds = []
        for _ in range(3):
            started = time.perf_counter()
            await asyncio.gather(*(_append(transport, many, records // len(many) // 8) for _ in range(8)))
            rounds.append(records // len(many) // 8 * 8 * len(many) / (time.perf_counter() - started))
    async with _log(folder / "beside.db") as transport:
        kept, lone = await _beside(transport, beside_per_s, seconds)
    return statistics.median(rounds), kept, lone


async def _append(transport: Transport, envelopes: list[Envelope], times: int) -> None:
    for _ in range(times):
        await transport.publish(envelopes)


async def _beside(transport: Transport, per_s: int, seconds: float) -> tuple[float, list[float]]:
    piece = [small(number) for number in range(per_s // 100)]
    taken: list[float] = []
    sent = 0
    started = time.perf_counter()

    async def steady() -> None:
        nonlocal sent
        for turn in range(int(seconds * 100)):
            await asyncio.sleep(max(0.0, started + turn / 100 - time.perf_counter()))
            await transport.publish(piece)
            sent += len(piece)

    background = asyncio.ensure_future(steady())
    number = 0
    while not background.done():
        began = time.perf_counter()
        await transport.publish([small(number)])
        taken.append((time.perf_counter() - began) * 1e3)
        number += 1
        await asyncio.sleep(0.005)
    await background
    return sent / (time.perf_counter() - started), sorted(taken)


@asynccontextmanager
async def _log(file: Path) -> Any:
    transport = EmbeddedTransport(file, max_bytes=8 << 30)
    await transport.open()
    await (await transport.subscribe(Subscription("kept", "#"))).close()
    try:
        yield transport
    finally:
        await transport.close()
