"""The live end of a subscription in RabbitMQ: hands out in order, counts attempts, settles.

Order: a retry of up to a minute is held here, unacknowledged, and holds back what follows it, so that order per key holds;
the broker keeps the envelope at the head of the queue if this process dies. A longer delay waits in a queue of the broker
instead, and what follows goes on: after such a delay an envelope comes later than younger ones of its key.

Attempts: the broker counts deliveries that were lost with their process (x-delivery-count), but also for envelopes that were
fetched and never handed out. So only the first envelope of a channel is buried for that count. Short retries are counted in
this process and forgotten with it.
"""

import asyncio
import itertools
import time
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustQueue
from aio_pika.exceptions import ChannelInvalidStateError

from bus.packing import unpack
from bus.rabbitmq_queues import ATTEMPTS, number
from bus.window import Hand, Window
from core.bus import Delivery, Envelope, Reader, Subscription
from core.errors import NotConnected, PlatformError, Unavailable

_logger = structlog.get_logger(__name__)
_HELD_UP_TO_S = 60.0


class Broker(Protocol):
    """What a reader needs of its transport."""

    async def settle(self, message: AbstractIncomingMessage, *, accepts: bool) -> None: ...

    async def send_dead(self, subscription: Subscription, envelope: Envelope, cause: str, attempts: int) -> None: ...

    async def send_later(self, subscription: Subscription, envelope: Envelope, attempts: int, delay_s: float) -> None: ...

    async def end(self, channel: AbstractRobustChannel) -> None: ...


class _Held:
    def __init__(self, message: AbstractIncomingMessage, envelope: Envelope) -> None:
        self.message = message
        self.envelope = envelope
        self.retries = 0

    @property
    def deliveries(self) -> int:
        """Deliveries before this one."""
        headers = self.message.headers
        return number(headers, ATTEMPTS) + number(headers, "x-delivery-count") + self.retries

    @property
    def is_first_of_channel(self) -> bool:
        return self.message.delivery_tag == 1

    @property
    def is_stale(self) -> bool:
        """Whether its channel is gone; the broker delivers it again."""
        try:
            return bool(self.message.channel.is_closed)
        except ChannelInvalidStateError:
            return True


class RabbitReader:
    """See core.bus.Reader. A connection that is lost comes back by itself, and what was unsettled with it."""

    def __init__(self, broker: Broker, subscription: Subscription, channel: AbstractRobustChannel) -> None:
        self.subscription = subscription
        self._broker = broker
        self._channel = channel
        self._window: Window[_Held] = Window(subscription.prefetch)
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self._is_closed = False

    async def start(self, queue: AbstractRobustQueue) -> None:
        """Begin to receive."""
        await queue.consume(self._receive)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            envelope = unpack(message.body)
        except msgspec.DecodeError as error:
            _logger.warning("a message that is no envelope was buried", subscription=self.subscription.name, error=str(error))
            with suppress(PlatformError):  # the connection is gone: the broker delivers it again
                await self._broker.settle(message, accepts=False)
            return
        self._window.add(next(self._numbers), _Held(message, envelope))
        self._news.set()

    @property
    def unsettled(self) -> int:
        """How many envelopes the broker has handed to this reader and waits for."""
        return 0 if self._is_closed else self.subscription.prefetch - self._window.room

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    async def next(self) -> Delivery:
        while True:
            self.check_open()
            self._news.clear()
            step = self._window.take(time.monotonic())
            if isinstance(step, Hand):
                delivery = await self._hand_out(step)
                if delivery is not None:
                    return delivery
                continue
            try:
                async with asyncio.timeout(step.seconds):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _hand_out(self, hand: Hand[_Held]) -> Delivery | None:
        held = hand.item
        if held.is_stale:
            self._window.settle(hand.number)
            return None
        allowed = self.subscription.max_attempts
        delivery = RabbitDelivery(self, hand.number, held, min(held.deliveries + 1, allowed))
        if held.deliveries < allowed or not held.is_first_of_channel:
            return delivery
        try:
            await self._bury(delivery, f"not settled in {allowed} deliveries, the reading process ended each time")
        except PlatformError:
            _logger.warning("not buried, it comes again", envelope=held.envelope.id)
        return None

    def check_open(self) -> None:
        if self._is_closed:
            raise NotConnected(f"the reader of subscription {self.subscription.name!r} was closed")

    async def settle(self, delivery: "RabbitDelivery") -> None:
        """Called by the delivery: done."""
        self.check_open()
        self._window.settle(delivery.number)
        if delivery.held.is_stale:
            raise Unavailable(f"envelope {delivery.envelope.id}: its connection was lost before it was settled; it comes again")
        await self._broker.settle(delivery.held.message, accepts=True)

    async def postpone(self, delivery: "RabbitDelivery", cause: str, delay_s: float) -> None:
        """Called by the delivery: again later, or never again after the last attempt."""
        self.check_open()
        if delivery.attempt >= self.subscription.max_attempts:
            await self._bury(delivery, cause)
        elif delay_s <= _HELD_UP_TO_S or not self.subscription.durable:
            delivery.held.retries += 1
            self._window.postpone(delivery.number, time.monotonic() + delay_s)
            self._news.set()
        else:
            await self._broker.send_later(self.subscription, delivery.envelope, delivery.attempt, delay_s)
            await self.settle(delivery)

    async def bury(self, delivery: "RabbitDelivery", cause: str) -> None:
        """Called by the delivery: to the dead letters, which only a durable subscription has."""
        self.check_open()
        await self._bury(delivery, cause)

    async def _bury(self, delivery: "RabbitDelivery", cause: str) -> None:
        if self.subscription.durable:
            try:
                await self._broker.send_dead(self.subscription, delivery.envelope, cause, delivery.attempt)
            except PlatformError:
                self._window.postpone(delivery.number, time.monotonic() + 1.0)  # still the reader's, else it would be stuck
                self._news.set()
                raise
        await self.settle(delivery)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._news.set()
        await self._broker.end(self._channel)


class RabbitDelivery:
    """See core.bus.Delivery."""

    def __init__(self, reader: RabbitReader, number: int, held: _Held, attempt: int) -> None:
        self._reader = reader
        self._attempt = attempt
        self.number = number
        self.held = held

    @property
    def envelope(self) -> Envelope:
        return self.held.envelope

    @property
    def attempt(self) -> int:
        return self._attempt

    async def ack(self) -> None:
        await self._reader.settle(self)

    async def retry(self, cause: str, *, delay_s: float) -> None:
        await self._reader.postpone(self, cause, delay_s)

    async def bury(self, cause: str) -> None:
        await self._reader.bury(self, cause)


def _conforms(reader: RabbitReader, delivery: RabbitDelivery) -> tuple[Reader, Delivery]:
    return reader, delivery
