"""How the bus is laid out in RabbitMQ: names, queue arguments, message properties; and the client's errors as the platform's.

Two topic exchanges, for data and control. A durable subscription is a quorum queue of its name with one active reader, its
dead letters are `<name>.dead`, and long delays wait in `<name>.retry.<milliseconds>`. `zhiyun.subscriptions` is a stream in
which each process that declares a subscription writes its name, because AMQP can't list queues.
"""

import asyncio
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AuthenticationError, DeliveryError, ProbableAuthenticationError
from aiormq import spec
from pamqp.encode import encode_table_value as table_value

from core.bus import Channel, Envelope
from core.clock import iso
from core.errors import Limited, NotConnected, Unavailable

EXCHANGES: Mapping[Channel, str] = {"data": "zhiyun.data", "control": "zhiyun.control"}
DIRECTORY = "zhiyun.subscriptions"
PAST = "zhiyun.past"
CONTENT_TYPE = "application/vnd.zhiyun.envelope+msgpack"
MAX_QUEUE_BYTES = 2 << 30
ATTEMPTS, CAUSE, DEAD_ID, DEAD_MS = "x-zhiyun-attempts", "x-zhiyun-cause", "x-zhiyun-dead-id", "x-zhiyun-dead-ms"
_FULL_RETRY_S = 5.0
_QUORUM = {"x-queue-type": "quorum"}


def dead_queue(subscription: str) -> str:
    return f"{subscription}.dead"


def retry_queue(subscription: str, delay_ms: int) -> str:
    return f"{subscription}.retry.{delay_ms}"


def _dead_lettering(target: str) -> dict[str, Any]:
    # Without these two a quorum queue dead-letters at most once, and a restart of the broker could lose what is on its way.
    strategy = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, **strategy}


def subscription_arguments(subscription: str) -> dict[str, Any]:
    bounds = {"x-max-length-bytes": MAX_QUEUE_BYTES, "x-single-active-consumer": True}
    return {**_QUORUM, **bounds, **_dead_lettering(dead_queue(subscription))}


def past_arguments(keep_s: float) -> dict[str, Any]:
    """A stream: appended in order, never settled, cut by age and by size."""
    return {"x-queue-type": "stream", "x-max-age": f"{max(1, round(keep_s))}s", "x-max-length-bytes": MAX_QUEUE_BYTES}


def dead_arguments() -> dict[str, Any]:
    return dict(_QUORUM)


def retry_arguments(subscription: str, delay_ms: int) -> dict[str, Any]:
    return {**_QUORUM, "x-message-ttl": delay_ms, **_dead_lettering(subscription)}


def properties(envelope: Envelope, **headers: Any) -> spec.Basic.Properties:
    """The CloudEvents attributes as AMQP headers (CloudEvents AMQP binding, section 3.1), persistent."""
    attributes = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": envelope.id,
        "cloudEvents:source": envelope.source,
        "cloudEvents:type": envelope.topic,
        "cloudEvents:time": iso(datetime.fromtimestamp(envelope.time_ms / 1000, UTC)),
        "cloudEvents:subject": envelope.key,
        "cloudEvents:datacontenttype": envelope.content_type,
    }
    if envelope.trace:
        attributes["cloudEvents:traceparent"] = envelope.trace
    return _Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=2,
        message_id=envelope.id,
        timestamp=datetime.now(UTC).replace(microsecond=0),
        headers={**attributes, **headers},
    )


class _Properties(spec.Basic.Properties):
    """The client library takes as long for a table of eight headers as for the rest of a message; these properties are always the
    same five, and most headers text (AMQP 0-9-1 sections 4.2.5.5 and 4.2.6.1)."""

    def marshal(self) -> bytes:
        fields = [
            _header(name, value.encode()) if isinstance(value, str) else _head(name)[:-1] + table_value(value)
            for name, value in (self.headers or {}).items()
        ]
        table = b"".join(fields)
        message_id = (self.message_id or "").encode()
        stamp = int((self.timestamp or _EPOCH).timestamp()).to_bytes(8, "big")
        return b"%b%b%b\x02%b%b%b" % (_FLAGS, _TYPE, _long(table), bytes((len(message_id),)), message_id, stamp)


_FLAGS = (0x8000 | 0x2000 | 0x1000 | 0x0080 | 0x0040).to_bytes(2, "big")  # type, headers, delivery mode, message id, timestamp
_EPOCH = datetime.fromtimestamp(0, UTC)
_TYPE = bytes((len(CONTENT_TYPE),)) + CONTENT_TYPE.encode()
_NAME_LENGTH = [bytes((n,)) for n in range(256)]


def _long(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@functools.lru_cache(maxsize=64)
def _head(name: str) -> bytes:
    return _NAME_LENGTH[len(name)] + name.encode() + b"S"


def _header(name: str, value: bytes) -> bytes:
    return _head(name) + _long(value)


def number(headers: Mapping[str, Any] | None, name: str) -> int:
    """A header as a number, 0 when it is missing or no number."""
    value = (headers or {}).get(name, 0)
    return value if isinstance(value, int) else 0


@contextmanager
def translated(broker: str) -> Iterator[None]:
    """aio-pika's exceptions as the platform's; `broker` is host and port, never the password."""
    task = asyncio.current_task()
    try:
        yield
    except DeliveryError as error:
        raise Limited(
            f"RabbitMQ at {broker} refused an envelope: a subscription's queue is full or can't be written; start its reader",
            retry_after_s=_FULL_RETRY_S,
            code="bus_full",
        ) from error
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise NotConnected(f"RabbitMQ at {broker} refused the user or its password; see the bus's URL in the settings") from error
    except TimeoutError as error:
        raise Unavailable(f"RabbitMQ at {broker} did not answer in time") from error
    except CONNECTION_EXCEPTIONS as error:
        raise Unavailable(f"RabbitMQ at {broker}: {type(error).__name__} {error}".rstrip()) from error
    except asyncio.CancelledError as error:
        # The client also cancels what waits on a connection that is lost; only then has nobody cancelled this task.
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"RabbitMQ at {broker}: the connection was lost") from error
