"""Dead letters in RabbitMQ: read without taking them, put back or given up one by one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage

from bus.packing import pack, unpack
from bus.rabbitmq_queues import ATTEMPTS, CAUSE, DEAD_ID, DEAD_MS, dead_queue, number, properties
from core.bus import DeadLetter, Envelope


class OpenChannel(Protocol):
    async def __call__(self) -> AbstractChannel: ...


def _letter(subscription: str, message: DeliveredMessage) -> DeadLetter:
    headers = message.header.properties.headers or {}
    try:
        envelope = unpack(message.body)
        cause = str(headers.get(CAUSE, "rejected"))
    except msgspec.DecodeError as error:
        # Foreign bytes on our exchange: shown as they are, under the topic they came with.
        content_type = message.header.properties.content_type or ""
        envelope = Envelope("", message.routing_key or "", "unknown", 0, "", 0, content_type, message.body)
        cause = f"no envelope: {error}"
    id_ = str(headers.get(DEAD_ID, message.header.properties.message_id or ""))
    return DeadLetter(id_, subscription, envelope, cause, number(headers, ATTEMPTS), number(headers, DEAD_MS))


@asynccontextmanager
async def _browsed(channel: AbstractChannel, queue: str, limit: int) -> AsyncIterator[list[DeliveredMessage]]:
    """The first messages of a queue; those that were not acknowledged inside go back to where they were."""
    messages: list[DeliveredMessage] = []
    try:
        while len(messages) < limit:
            message = await channel.basic_get(queue)
            if not isinstance(message.delivery, spec.Basic.GetOk):
                break
            messages.append(message)
        yield messages
    finally:
        if messages:
            await channel.basic_nack(messages[-1].delivery_tag or 0, multiple=True, requeue=True)
        await channel.close()


async def listed(open_channel: OpenChannel, subscriptions: Sequence[str], limit: int) -> list[DeadLetter]:
    """The dead letters of all subscriptions, oldest first."""
    letters: list[DeadLetter] = []
    for name in subscriptions:
        async with _browsed(await open_channel(), dead_queue(name), limit) as messages:
            letters += [_letter(name, message) for message in messages]
    return sorted(letters, key=lambda letter: letter.dead_ms)[:limit]  # of one moment in the order of their queue


async def take(
    open_channel: OpenChannel, subscriptions: Sequence[str], dead_letter_id: str, limit: int, *, puts_back: bool
) -> DeadLetter | None:
    """Take a dead letter away, first put back at the end of its subscription's queue where that is wanted. None where it is not
    among the first `limit` of each."""
    for name in subscriptions:
        channel = await open_channel()
        async with _browsed(channel, dead_queue(name), limit) as messages:
            for message in messages:
                letter = _letter(name, message)
                if letter.id == dead_letter_id:
                    if puts_back:
                        body = pack(letter.envelope) if letter.envelope.id else message.body
                        await channel.basic_publish(body, routing_key=name, properties=properties(letter.envelope), mandatory=True)
                    await channel.basic_ack(message.delivery_tag or 0)
                    messages.remove(message)
                    return letter
    return None
