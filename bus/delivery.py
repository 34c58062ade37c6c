"""From a subscription into a sink: acknowledged after the sink returned, retried with back-off, or buried with its cause.

One of the three places that catch every exception; each one caught is logged with an id that its dead letter repeats.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from core.bus import Delivery, Envelope, Reader
from core.errors import Limited, NotConnected, PlatformError
from core.ids import new_id

Sink = Callable[[Envelope], Awaitable[None]]
RETRY_DELAYS_S = (1.0, 5.0, 30.0, 120.0, 600.0)
_logger = structlog.get_logger(__name__)
_FAULT_PAUSE_S = 1.0


class Draining:
    """Asks a delivery loop to finish the envelope in its hands and to take no other."""

    def __init__(self) -> None:
        self._is_begun = False
        self._scope: asyncio.Timeout | None = None

    @property
    def is_begun(self) -> bool:
        return self._is_begun

    def begin(self) -> None:
        """May be called any time, also before the loop runs."""
        self._is_begun = True
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def unless_begun(self, work: Awaitable[Delivery]) -> Delivery | None:
        """The result of `work`; None when draining began, and then `work` was cancelled."""
        try:
            async with asyncio.timeout(0 if self._is_begun else None) as self._scope:
                return await work
        except TimeoutError:
            if not self._is_begun:
                raise
            return None
        finally:
            self._scope = None


async def deliver(
    reader: Reader, sink: Sink, *, delays_s: Sequence[float] = RETRY_DELAYS_S, draining: Draining | None = None
) -> None:
    """Hand every envelope to `sink`, one after the other, until draining begins or the reader is closed.

    The sink returns when it has the envelope durably, and must be idempotent. What it raises decides: an error with `retry` is
    tried again after the delay of that attempt (the last one repeats; Limited's own wait if that is longer), anything else is
    buried at once. A settlement that fails is logged: the envelope comes again.
    """
    drain = draining or Draining()
    while not drain.is_begun:
        try:
            delivery = await drain.unless_begun(reader.next())
        except NotConnected:
            return
        except PlatformError as error:
            _logger.warning("delivery waits for the bus", error=error.detail)
            await asyncio.sleep(_FAULT_PAUSE_S)
            continue
        if delivery is not None:
            await _deliver(delivery, sink, delays_s)


async def _deliver(delivery: Delivery, sink: Sink, delays_s: Sequence[float]) -> None:
    settlement = await _outcome(delivery, sink, delays_s)
    try:
        await settlement()
    except PlatformError as error:
        _logger.warning("envelope not settled, it comes again", envelope=delivery.envelope.id, error=error.detail)


async def _outcome(delivery: Delivery, sink: Sink, delays_s: Sequence[float]) -> Callable[[], Awaitable[None]]:
    """Run the sink; what is then to be done with the delivery."""
    envelope = delivery.envelope
    try:
        await sink(envelope)
    except PlatformError as error:
        cause = f"{error.specific_code}: {error.detail}"
        if not error.retry:
            _logger.warning("envelope buried", envelope=envelope.id, topic=envelope.topic, cause=cause)
            return lambda: delivery.bury(cause)
        delay_s = _delay_s(error, delivery.attempt, delays_s)
        _logger.info("envelope to be retried", envelope=envelope.id, attempt=delivery.attempt, delay_s=delay_s, cause=cause)
        return lambda: delivery.retry(cause, delay_s=delay_s)
    except Exception as error:
        error_id = new_id("err_")
        _logger.exception("sink failed", error_id=error_id, envelope=envelope.id, topic=envelope.topic)
        # Only the class: the text of a foreign exception may hold a secret or a person's data.
        text = f"internal: the sink failed with {type(error).__name__}; see error {error_id} in the log"
        return lambda: delivery.bury(text)
    return delivery.ack


def _delay_s(error: PlatformError, attempt: int, delays_s: Sequence[float]) -> float:
    delay_s = delays_s[min(attempt, len(delays_s)) - 1] if delays_s else 0.0
    return max(delay_s, error.retry_after_s) if isinstance(error, Limited) else delay_s
