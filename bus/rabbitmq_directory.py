"""The names of all durable subscriptions of a broker: a stream that every process follows and adds to."""

import asyncio

import msgspec
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel

from bus.rabbitmq_queues import DIRECTORY
from core.bus import Channel, Subscription
from core.errors import Conflict
from core.ids import new_id


class Entry(msgspec.Struct, frozen=True):
    """A queue that holds envelopes of a subscription; an entry without a queue marks how far a starting process has read,
    one that `is_gone` that the subscription was removed."""

    name: str
    pattern: str = ""
    channel: Channel = "data"
    queue: str = ""
    is_gone: bool = False


class Directory:
    """Follows the stream from its first entry; `entries` is what is known so far."""

    def __init__(self, channel: AbstractRobustChannel) -> None:
        self._channel = channel
        self._marker = new_id("marker_")
        self._has_caught_up = asyncio.Event()
        self.entries: set[Entry] = set()

    async def start(self) -> None:
        """Return once every entry that was there before is known."""
        await self._channel.set_qos(prefetch_count=100)  # a stream is only read with a prefetch
        stream = await self._channel.declare_queue(DIRECTORY, durable=True, arguments={"x-queue-type": "stream"})
        await stream.consume(self._learn, arguments={"x-stream-offset": "first"})
        await self._write(Entry(self._marker))
        await self._has_caught_up.wait()

    async def _learn(self, message: AbstractIncomingMessage) -> None:
        entry = msgspec.msgpack.decode(message.body, type=Entry)
        if entry.is_gone:
            self._forget(entry.name)
        elif entry.queue:
            self.entries.add(entry)
        elif entry.name == self._marker:
            self._has_caught_up.set()
        await message.ack()

    async def _write(self, entry: Entry) -> None:
        message = Message(msgspec.msgpack.encode(entry), delivery_mode=DeliveryMode.PERSISTENT)
        await self._channel.default_exchange.publish(message, DIRECTORY)

    def check(self, subscription: Subscription) -> None:
        """Raise Conflict when the subscription's name reads something else."""
        for known in self.entries:
            if known.name == subscription.name and (known.pattern, known.channel) != (subscription.pattern, subscription.channel):
                raise Conflict(
                    f"subscription {known.name!r} already reads {known.pattern!r} of {known.channel}, not "
                    f"{subscription.pattern!r} of {subscription.channel}: give the new one another name"
                )

    async def add(self, subscription: Subscription, queue: str) -> None:
        """Make a queue known that has been declared."""
        entry = Entry(subscription.name, subscription.pattern, subscription.channel, queue)
        if entry not in self.entries:
            await self._write(entry)
            self.entries.add(entry)

    async def remove(self, name: str) -> None:
        """Make known that a subscription and its queues are gone."""
        await self._write(Entry(name, is_gone=True))
        self._forget(name)

    def _forget(self, name: str) -> None:
        self.entries -= {entry for entry in self.entries if entry.name == name}
