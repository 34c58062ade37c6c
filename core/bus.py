"""The contract of the data bus. Transports (embedded, RabbitMQ) implement it; one conformance suite runs against each."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

LOST_TYPE = "application/vnd.zhiyun.lost"

Channel = Literal["data", "control"]
"""Data and control messages travel separately (requirement 0.33)."""


class Envelope(Struct, frozen=True, array_like=True):
    """One message: CloudEvents 1.0 attributes and packed bytes. A batch of records is one envelope.

    `topic` is `source.dataset.op`: segments of `[a-z0-9_-]` joined by dots. `key` orders: envelopes of one key are delivered in
    the order they were published. `id` with `source` is the idempotency key.
    """

    id: str
    topic: str
    source: str
    time_ms: int
    key: str
    count: int
    content_type: str
    data: bytes
    trace: str = ""  # W3C traceparent


class Subscription(Struct, frozen=True):
    """A durable, named reader of a topic pattern (`*` one segment, `#` any number). One active reader at a time.

    It receives what is published after it was first declared. `durable=False` is a broadcast: each process that
    subscribes gets its own copy from now on, and nothing is kept when it goes (control messages).

    `yields`: where the bus is full, the oldest of what waits for it is dropped rather than a publisher refused; then an envelope
    of the type `LOST_TYPE` waits for it behind what is left. Its `count` is how many envelopes were dropped at the first step.
    RabbitMQ's queues refuse publishers all the same.
    """

    name: str
    pattern: str
    channel: Channel = "data"
    durable: bool = True
    prefetch: int = 16
    max_attempts: int = 3
    yields: bool = False


class DeadLetter(Struct, frozen=True):
    """An envelope that was given up, with its cause; it stays until it is redelivered or discarded by a person."""

    id: str
    subscription: str
    envelope: Envelope
    cause: str
    attempts: int
    dead_ms: int


class Delivery(Protocol):
    """One envelope in a reader's hands. Exactly one of the three is awaited, once."""

    @property
    def envelope(self) -> Envelope: ...

    @property
    def attempt(self) -> int:
        """1 at the first delivery. A delivery that was lost with its process counts."""
        ...

    async def ack(self) -> None:
        """The sink has it durably."""
        ...

    async def retry(self, cause: str, *, delay_s: float) -> None:
        """Deliver again after at least `delay_s`; past `max_attempts` it is buried with `cause`. Order per key holds."""
        ...

    async def bury(self, cause: str) -> None:
        """It can never succeed: to the dead letters at once."""
        ...


class Reader(Protocol):
    """The live end of a subscription, read by one task."""

    async def next(self) -> Delivery:
        """Wait for the next delivery. Up to `prefetch` may be unsettled at a time; past that it waits.

        Raises NotConnected when the transport is closed for good; a broker that comes back is waited for.
        """
        ...

    async def close(self) -> None:
        """Stop reading; unsettled deliveries come again to the next reader."""
        ...


class Span(Struct, frozen=True):
    """Of what was published: from `since_ms` on, before `until_ms`, on the topics of a pattern. Brokers keep time by the second."""

    since_ms: int
    until_ms: int
    pattern: str = "#"


class Replayed(Struct, frozen=True):
    """How many envelopes and records a replay is of, and when the first and last of them were published (0: there are none)."""

    envelopes: int = 0
    records: int = 0
    first_ms: int = 0
    last_ms: int = 0


class Past(Protocol):
    """What has been published on the data channel, kept for a while whether it was settled or not."""

    async def replay(self, subscription: str, span: Span, *, is_dry: bool) -> Replayed:
        """Deliver it again, in its order, to one durable subscription alone, behind what waits there; `is_dry` only counts.

        A topic that the subscription does not read is not delivered to it. NotFound for an unknown subscription, InvalidInput where
        the bus keeps nothing, Limited where it is full: what was put back by then is delivered.
        """
        ...


class Transport(Protocol):
    """Publishing, subscribing and the dead letters. All methods may be called by overlapping tasks."""

    @property
    def past(self) -> Past: ...

    async def publish(self, envelopes: Sequence[Envelope], *, channel: Channel = "data") -> None:
        """Return once every envelope is durable (control: handed over). On an error all of them may be sent again.

        Raises Unavailable or NotConnected when the bus can't take them now; Limited when it is full.
        """
        ...

    async def subscribe(self, subscription: Subscription) -> Reader:
        """Declare the subscription if it is new, and start to read."""
        ...

    async def unsubscribe(self, name: str) -> None:
        """Forget a durable subscription: what waits for it and its dead letters go, its readers here are closed. Idempotent."""
        ...

    async def bury(self, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
        """Add a dead letter to a durable subscription, for who gives up a part of what he had been delivered. Raises NotFound."""
        ...

    async def depth(self) -> dict[str, int]:
        """Envelopes not yet settled, per durable subscription name."""
        ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """Oldest first."""
        ...

    async def redeliver(self, dead_letter_id: str) -> None:
        """Put a dead letter back to its own subscription, attempts from 1. Raises NotFound."""
        ...

    async def discard(self, dead_letter_id: str) -> DeadLetter:
        """Give a dead letter up for good; what it was. Raises NotFound."""
        ...

    async def close(self) -> None:
        """Settle nothing, end every reader, give back sockets and threads. Idempotent."""
        ...
