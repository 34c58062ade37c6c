"""The transport on RabbitMQ: topic exchanges, quorum queues, publisher confirms. Layout: rabbitmq_queues; order: rabbitmq_reader.

A lost connection is made again by itself: publish then fails within some seconds with NotConnected or Unavailable, and
readers wait.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustConnection, AbstractRobustExchange
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity
from yarl import URL

from bus import rabbitmq_dead_letters as dead
from bus import rabbitmq_queues as layout
from bus.packing import pack
from bus.rabbitmq_directory import Directory
from bus.rabbitmq_past import RabbitPast
from bus.rabbitmq_reader import RabbitReader
from bus.topics import check_subscription, check_topics
from core.bus import Channel, DeadLetter, Envelope, Reader, Subscription, Transport
from core.clock import epoch_ms
from core.errors import NotConnected, NotFound, PlatformError
from core.ids import new_id

_CONNECT_S = 10.0
_ANSWER_S = 10.0
_READY_S = 5.0  # how long a publisher waits for a connection that is being made again
_RECONNECT_S = 0.5
_IN_FLIGHT = 500
_BROWSED = 10_000
_LOOKS = 3  # another process that is listing the dead letters holds them for a moment


class RabbitTransport:
    """See core.bus.Transport. `url` is amqp:// or amqps://, with the virtual host; `node` names this process at the broker. What
    was published is kept for `keep_s`."""

    def __init__(self, url: str, *, node: str, keep_s: float = 0.0) -> None:
        self._url = url
        self._node = node
        parsed = URL(url)
        self._broker = f"{parsed.host}:{parsed.port or 5672}"
        self._connection: AbstractRobustConnection | None = None
        self._publisher: AbstractRobustChannel | None = None
        self._directory: Directory | None = None
        self._exchanges: dict[Channel, AbstractRobustExchange] = {}
        self._readers: set[RabbitReader] = set()
        self._browsing = asyncio.Lock()
        self._is_closed = False
        self.past = RabbitPast(_Replaying(self), keep_s=keep_s)

    async def open(self) -> None:
        """Connect and declare the exchanges. Raises NotConnected or Unavailable, with host and port."""
        try:
            async with self._bounded(_CONNECT_S * 2):
                self._connection = await aio_pika.connect_robust(
                    self._url,
                    timeout=_CONNECT_S,
                    reconnect_interval=_RECONNECT_S,
                    client_properties={"connection_name": f"zhiyun {self._node}"},
                )
                self._publisher = await self._channel()
                for channel, name in layout.EXCHANGES.items():
                    self._exchanges[channel] = await self._publisher.declare_exchange(name, "topic", durable=True)
                self._directory = Directory(await self._channel())
                await self._directory.start()
                await self.past.declare()
        except BaseException:
            await self.close()
            raise

    @asynccontextmanager
    async def _bounded(self, seconds: float = _ANSWER_S) -> AsyncIterator[None]:
        with layout.translated(self._broker):
            async with asyncio.timeout(seconds):
                yield

    def _live(self) -> AbstractRobustConnection:
        if self._is_closed or self._connection is None:
            raise NotConnected("the bus was closed" if self._is_closed else "the bus was not opened")
        return self._connection

    async def _ready(self) -> AbstractRobustConnection:
        """The connection, waiting for one that is being made again."""
        connection = self._live()
        try:
            async with asyncio.timeout(_READY_S):
                await connection.ready()
        except TimeoutError as error:
            raise NotConnected(f"RabbitMQ at {self._broker} can't be reached; nothing was sent, try again later") from error
        return self._live()

    async def _channel(self) -> AbstractRobustChannel:
        channel: AbstractRobustChannel = self._live().channel()
        await channel.initialize()
        return channel

    async def _plain_channel(self) -> AbstractChannel:
        """A channel that is used once and not made again."""
        transport = (await self._ready()).transport
        if transport is None:
            raise NotConnected(f"RabbitMQ at {self._broker}: the connection is being made again")
        return await transport.connection.channel(on_return_raises=True)

    async def publish(self, envelopes: Sequence[Envelope], *, channel: Channel = "data") -> None:
        check_topics(envelopes)
        messages = [(envelope.topic, envelope, pack(envelope)) for envelope in envelopes]
        for start in range(0, len(messages), _IN_FLIGHT):
            await self._send(layout.EXCHANGES[channel], messages[start : start + _IN_FLIGHT])

    async def _send(self, exchange: str, messages: Sequence[tuple[str, Envelope, bytes]], **headers: str | int) -> None:
        """Write all in this order, then wait for all confirms. What no queue wants is confirmed too."""
        await self._ready()
        async with self._bounded():
            if self._publisher is None:
                raise NotConnected("the bus was not opened")
            channel = cast(aiormq.Channel, await self._publisher.get_underlay_channel())
            confirms = [
                channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=key,
                    properties=layout.properties(envelope, **headers),
                    mandatory=not exchange,  # straight to a queue of ours: it must be there
                    wait=False,
                )
                for key, envelope, body in messages
            ]
            outcomes = await asyncio.gather(*confirms, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome

    async def subscribe(self, subscription: Subscription) -> Reader:
        check_subscription(subscription)
        await self._ready()
        async with self._bounded():
            channel = await self._channel()
            try:
                reader = await self._start_reader(subscription, channel)
            except BaseException:
                await channel.close()
                raise
        self._readers = {known for known in self._readers if not known.is_closed} | {reader}
        return reader

    async def _start_reader(self, subscription: Subscription, channel: AbstractRobustChannel) -> RabbitReader:
        await channel.set_qos(prefetch_count=subscription.prefetch)
        if subscription.durable and self._directory is not None:
            self._directory.check(subscription)
            await self._declare(channel, layout.dead_queue(subscription.name), layout.dead_arguments())
            arguments = layout.subscription_arguments(subscription.name)
            queue = await channel.declare_queue(subscription.name, durable=True, arguments=arguments)
            await self._directory.add(subscription, subscription.name)
        else:
            name = f"{subscription.name}.{self._node}.{new_id()}"
            queue = await channel.declare_queue(name, exclusive=True, auto_delete=True)
        await queue.bind(layout.EXCHANGES[subscription.channel], subscription.pattern)
        reader = RabbitReader(_Serving(self), subscription, channel)
        await reader.start(queue)
        return reader

    async def _declare(self, channel: AbstractRobustChannel, name: str, arguments: dict[str, object]) -> None:
        await channel.declare_queue(name, durable=True, arguments=arguments, robust=False)

    async def unsubscribe(self, name: str) -> None:
        for reader in self._readers:
            if reader.subscription.durable and reader.subscription.name == name:
                await reader.close()
        queues = {queue for known, queue in self._entries() if known == name}
        if not queues or self._directory is None:
            return
        async with self._bounded():
            channel = await self._plain_channel()
            for queue in sorted(queues | {layout.dead_queue(name)}):
                await channel.queue_delete(queue)
            await channel.close()
            await self._directory.remove(name)

    async def bury(self, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
        if name not in {known for known, _ in self._entries()}:
            raise NotFound(f"there is no durable subscription {name!r}")
        await self._bury(name, envelope, cause, attempts)

    async def _bury(self, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
        headers: dict[str, str | int] = {layout.CAUSE: cause, layout.ATTEMPTS: attempts}
        headers |= {layout.DEAD_ID: new_id("dead_"), layout.DEAD_MS: epoch_ms()}
        await self._send("", [(layout.dead_queue(name), envelope, pack(envelope))], **headers)

    async def depth(self) -> dict[str, int]:
        """Of what another process reads, the up to `prefetch` envelopes in its hands are not counted: AMQP does not tell."""
        depths: dict[str, int] = {}
        for entry in self._entries():
            depths[entry[0]] = depths.get(entry[0], 0) + await self._ready_in(entry[1])
        for reader in self._readers:
            if reader.subscription.name in depths:
                depths[reader.subscription.name] += reader.unsettled
        return depths

    def _entries(self) -> list[tuple[str, str]]:
        self._live()
        return sorted({(entry.name, entry.queue) for entry in self._directory.entries}) if self._directory else []

    async def _ready_in(self, queue: str) -> int:
        async with self._bounded():
            channel = await self._plain_channel()
            try:
                answer = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:  # deleted by an operator; the broker has closed the channel
                return 0
            await channel.close()
            return answer.message_count or 0

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        names = sorted({name for name, _ in self._entries()})
        async with self._browsing, self._bounded():
            return await dead.listed(self._plain_channel, names, limit)

    async def redeliver(self, dead_letter_id: str) -> None:
        await self._take(dead_letter_id, puts_back=True)

    async def discard(self, dead_letter_id: str) -> DeadLetter:
        return await self._take(dead_letter_id, puts_back=False)

    async def _take(self, dead_letter_id: str, *, puts_back: bool) -> DeadLetter:
        names = sorted({name for name, _ in self._entries()})
        for _ in range(_LOOKS):
            async with self._browsing, self._bounded():
                letter = await dead.take(self._plain_channel, names, dead_letter_id, _BROWSED, puts_back=puts_back)
                if letter is not None:
                    return letter
            await asyncio.sleep(0.1)
        raise NotFound(f"there is no dead letter {dead_letter_id!r}: it was redelivered or discarded, or never was")

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for reader in self._readers:
            await reader.close()
        if self._connection is not None:
            with suppress(PlatformError):
                async with self._bounded():
                    await self._connection.close()


class _Serving:
    """See bus.rabbitmq_reader.Broker."""

    def __init__(self, transport: RabbitTransport) -> None:
        self._transport = transport

    async def settle(self, message: AbstractIncomingMessage, *, accepts: bool) -> None:
        """Done, or to the dead letters by the broker itself."""
        async with self._transport._bounded():
            await (message.ack() if accepts else message.reject(requeue=False))

    async def send_dead(self, subscription: Subscription, envelope: Envelope, cause: str, attempts: int) -> None:
        """A dead letter, stored before the original is acknowledged."""
        await self._transport._bury(subscription.name, envelope, cause, attempts)

    async def send_later(self, subscription: Subscription, envelope: Envelope, attempts: int, delay_s: float) -> None:
        """Into the broker's queue of that delay, from which it comes back by itself."""
        delay_ms = round(delay_s * 1000)
        name = layout.retry_queue(subscription.name, delay_ms)
        await self._transport._ready()
        async with self._transport._bounded():
            publisher, directory = self._transport._publisher, self._transport._directory
            if publisher is not None and directory is not None:
                await self._transport._declare(publisher, name, layout.retry_arguments(subscription.name, delay_ms))
                await directory.add(subscription, name)
        await self._transport._send("", [(name, envelope, pack(envelope))], **{layout.ATTEMPTS: attempts})

    async def end(self, channel: AbstractRobustChannel) -> None:
        """Close a reader's channel, which gives back what is unsettled."""
        if self._transport._is_closed:
            return  # the connection takes its channels with it
        with suppress(PlatformError):  # no broker: it gives back what is unsettled by itself
            async with self._transport._bounded():
                await channel.close()


class _Replaying:
    """See bus.rabbitmq_past.Broker."""

    def __init__(self, transport: RabbitTransport) -> None:
        self._transport = transport

    async def open_plain(self) -> AbstractChannel:
        return await self._transport._plain_channel()

    def pattern_of(self, subscription: str) -> str | None:
        directory = self._transport._directory
        entries = directory.entries if directory is not None else ()
        return next((each.pattern for each in entries if each.name == subscription and each.channel == "data"), None)

    async def send_to(self, queue: str, envelopes: Sequence[tuple[Envelope, bytes]]) -> None:
        await self._transport._send("", [(queue, envelope, body) for envelope, body in envelopes])


def _conforms(url: str) -> Transport:
    return RabbitTransport(url, node="node")
