"""Replay out of a RabbitMQ stream to which the data exchange gives a copy of everything, beside the subscriptions' queues."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelPreconditionFailed

from bus.embedded_past import added
from bus.packing import unpack
from bus.rabbitmq_queues import EXCHANGES, PAST, past_arguments
from bus.topics import check_pattern, matcher
from core.bus import Envelope, Past, Replayed, Span
from core.errors import InvalidInput, NotFound
from core.ids import new_id

_PIECE = 100
_QUIET_S = 20.0  # a stream that gives nothing for so long, not even the marker, is not to be had


class Broker(Protocol):
    """What it needs of its transport."""

    async def open_plain(self) -> AbstractChannel: ...

    def pattern_of(self, subscription: str) -> str | None: ...

    async def send_to(self, queue: str, envelopes: Sequence[tuple[Envelope, bytes]]) -> None: ...


class RabbitPast:
    """See core.bus.Past. Time is what each message says of itself, in whole seconds."""

    def __init__(self, broker: Broker, *, keep_s: float) -> None:
        self._broker = broker
        self._keep_s = keep_s

    async def declare(self) -> None:
        """Make the stream and bind it. One that was made with other bounds stays as it is: its policy is the broker's."""
        if self._keep_s <= 0:
            return
        channel = await self._broker.open_plain()
        with suppress(ChannelPreconditionFailed):
            await channel.queue_declare(PAST, durable=True, arguments=past_arguments(self._keep_s))
        channel = channel if not channel.is_closed else await self._broker.open_plain()
        await channel.queue_bind(PAST, EXCHANGES["data"], "#")
        await channel.close()

    async def replay(self, subscription: str, span: Span, *, is_dry: bool) -> Replayed:
        if self._keep_s <= 0:
            raise InvalidInput("the bus keeps nothing that was settled; see the setting bus_keep_s")
        check_pattern(span.pattern)
        pattern = self._broker.pattern_of(subscription)
        if pattern is None:
            raise NotFound(f"there is no durable subscription {subscription!r}")
        reads, wanted = matcher(pattern), matcher(span.pattern)
        told, held = Replayed(), list[tuple[Envelope, bytes]]()

        async def take(topic: str, at_ms: int, body: bytes) -> None:
            nonlocal told
            if not (span.since_ms // 1000 * 1000 <= at_ms < span.until_ms and reads(topic) and wanted(topic)):
                return
            try:
                envelope = unpack(body)
            except msgspec.DecodeError:
                return  # a stranger's bytes on our exchange
            told = added(told, envelope.count, at_ms)
            if not is_dry:
                held.append((envelope, body))
                if len(held) >= _PIECE:
                    await self._broker.send_to(subscription, held)
                    held.clear()

        await self._read(span, take)
        if held:
            await self._broker.send_to(subscription, held)
        return told

    async def _read(self, span: Span, take: Callable[[str, int, bytes], Awaitable[None]]) -> None:
        """Everything from the beginning of the span to a marker that is written now."""
        channel, marker = await self._broker.open_plain(), new_id("marker_").encode()
        messages: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        try:
            await channel.basic_qos(prefetch_count=_PIECE)  # bounds the queue too
            offset = datetime.fromtimestamp(max(span.since_ms, 0) / 1000, UTC)
            await channel.basic_consume(PAST, messages.put, arguments={"x-stream-offset": offset})
            await channel.basic_publish(marker, routing_key=PAST)
            while True:
                async with asyncio.timeout(_QUIET_S):
                    message = await messages.get()
                if message.body == marker:
                    return
                stamp = message.header.properties.timestamp
                at_ms = int(stamp.timestamp() * 1000) if isinstance(stamp, datetime) else 0
                await take(message.routing_key or "", at_ms, message.body)
                await channel.basic_ack(message.delivery_tag or 0)
        finally:
            await channel.close()


def _conforms(past: RabbitPast) -> Past:
    return past
