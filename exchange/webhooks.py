"""One webhook at work: from its subscriptions on the bus to its receiver, with what failed kept in a durable waiting room.

A message that is not taken waits there, and so does what follows it in its lane: order per key holds while other keys go on. An
envelope is acknowledged once each of its messages was taken or waits durably; so a killed process sends some twice, none never.
When the room is full the bus is not read, and there the subscription yields.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog
from msgspec.structs import replace

from config.webhooks import Webhook
from core.bus import LOST_TYPE, Delivery, Envelope, Reader, Subscription, Transport
from core.clock import epoch_ms
from core.errors import NotConnected, PlatformError
from core.webhooks import Waiting, WebhookRetries, WebhookState, WebhookStates
from exchange.change_feed import CONTENT_TYPE, LANES, Feed, Message, body, messages
from exchange.posting import Outcome, Poster
from exchange.webhook_retries import Again, GiveUp, after_failure

_log = structlog.get_logger("exchange.webhooks")
_MAX_WAITING = 10_000
_PREFETCH = 2
_EVER = 1_000_000_000  # attempts: an envelope of which a message can't be kept is never given up
_FAULT_PAUSE_S = 1.0
_LOOK_S = 5.0
_KEEP_STATE_S = 1.0


class GoneError(Exception):
    """The receiver answered 410: it wants no more."""


class WebhookRun:
    """`run` delivers until it is cancelled, or the receiver answers 410."""

    def __init__(
        self,
        name: str,
        webhook: Webhook,
        feeds: Sequence[Feed],
        *,
        bus: Transport,
        retries: WebhookRetries,
        states: WebhookStates,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._feeds = {feed.service: feed for feed in feeds}
        self._bus = bus
        self._retries = retries
        self._states = states
        self._max_waiting = max_waiting
        self._poster = Poster(webhook)
        self._at_once = asyncio.Semaphore(webhook.concurrency)
        self._lanes = [asyncio.Lock() for _ in range(LANES)]
        self._held: set[int] = set()  # lanes of which messages wait
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._state = WebhookState(name, target_of(webhook))
        self._oldest_ms = 0

    async def run(self) -> None:
        """See the class. Raises PlatformError where bus or database fail at the beginning; whoever keeps it starts it anew."""
        known = await self._states.get(self._name)
        if known is not None:
            if known.state == "gone" and known.target == self._state.target:
                return
            known.target, known.state = self._state.target, "active"
            self._state = known
        await self._look()
        readers = {service: await self._bus.subscribe(self._subscription(feed)) for service, feed in self._feeds.items()}
        try:
            async with asyncio.TaskGroup() as group:
                for service, reader in readers.items():
                    group.create_task(self._read(self._feeds[service], reader))
                group.create_task(self._drain())
                group.create_task(self._tell())
        except* GoneError:
            self._state.state = "gone"
            _log.error("a webhook's receiver answered 410: nothing more is sent until its URL changes", webhook=self._name)
        finally:
            for reader in readers.values():
                await reader.close()
            await self._poster.close()
            with suppress(PlatformError):
                await asyncio.shield(self._keep_state())

    def _subscription(self, feed: Feed) -> Subscription:
        return Subscription(feed.subscription(self._name), f"{feed.dataset}.*", prefetch=_PREFETCH, max_attempts=_EVER, yields=True)

    async def _read(self, feed: Feed, reader: Reader) -> None:
        while True:
            await self._room.wait()
            try:
                delivery = await reader.next()
            except NotConnected:
                return
            except PlatformError as error:
                _log.warning("a webhook waits for the bus", webhook=self._name, error=error.detail)
                await asyncio.sleep(_FAULT_PAUSE_S)
                continue
            await self._deliver(feed, delivery)

    async def _deliver(self, feed: Feed, delivery: Delivery) -> None:
        envelope = delivery.envelope
        try:
            try:
                await self._take(feed, envelope)
            except PlatformError as error:
                if error.retry:
                    await delivery.retry(error.detail, delay_s=_FAULT_PAUSE_S)
                else:
                    await delivery.bury(f"{error.specific_code}: {error.detail}")
            else:
                await delivery.ack()
        except PlatformError as error:
            _log.warning("envelope not settled, it comes again", envelope=envelope.id, error=error.detail)

    async def _take(self, feed: Feed, envelope: Envelope) -> None:
        """Return when each message of it was taken, or waits durably."""
        if envelope.content_type == LOST_TYPE:
            _log.error("changes for a webhook were dropped; its receiver is told to read anew", webhook=self._name)
        lanes: dict[int, list[Message]] = {}
        for message in messages(feed, envelope, events=self._webhook.events, batch_records=self._webhook.batch_records):
            lanes.setdefault(message.lane, []).append(message)
        outcomes = await asyncio.gather(*(self._lane(feed, lane, found) for lane, found in lanes.items()), return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        for failure in sorted(failures, key=lambda each: not isinstance(each, GoneError)):
            raise failure

    async def _lane(self, feed: Feed, lane: int, found: Sequence[Message]) -> None:
        async with self._lanes[lane]:
            for index, message in enumerate(found):
                outcome = None
                if lane not in self._held:
                    outcome = await self._send(feed, message.envelope)
                    if not outcome.cause:
                        continue
                await self._wait(feed, found[index:], outcome)
                return

    async def _wait(self, feed: Feed, rest: Sequence[Message], outcome: Outcome | None) -> None:
        """Keep the messages; the first of them failed just now where there is an outcome."""
        now_ms = epoch_ms()
        waiting = [Waiting(self._name, feed.service, each.lane, each.envelope, now_ms, now_ms) for each in rest]
        if outcome is not None:
            step = self._step(waiting[0], outcome, now_ms)
            due_ms = now_ms if isinstance(step, GiveUp) else step.due_ms  # then given up there, at its first turn
            waiting[0] = replace(waiting[0], attempts=1, due_ms=due_ms, cause=outcome.cause)
        await self._retries.add(waiting)
        self._held.add(rest[0].lane)
        self._count(self._state.waiting + len(waiting))
        self._news.set()

    def _step(self, waiting: Waiting, outcome: Outcome, now_ms: int) -> Again | GiveUp:
        return after_failure(
            self._webhook,
            since_ms=waiting.since_ms,
            attempts=waiting.attempts + 1,
            now_ms=now_ms,
            retry_after_s=outcome.retry_after_s,
            chance=random.random(),  # noqa: S311  # spreads load, guards nothing
        )

    async def _send(self, feed: Feed, envelope: Envelope) -> Outcome:
        async with self._at_once:
            made = body(feed, envelope)
            outcome = await self._poster.post(envelope.id, made, CONTENT_TYPE, now_s=int(time.time()))
        if not outcome.cause:
            self._state.delivered += 1
            return outcome
        self._state.failed += 1
        self._state.cause = outcome.cause
        if outcome.is_gone:
            raise GoneError
        return outcome

    async def _drain(self) -> None:
        """Send again what is due, lane by lane."""
        while True:
            self._news.clear()
            try:
                next_ms = await self._round()
            except PlatformError as error:
                _log.warning("a webhook's waiting messages can't be read", webhook=self._name, error=error.detail)
                next_ms = epoch_ms() + 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_S, max(0.0, (next_ms - epoch_ms()) / 1000))):
                    await self._news.wait()

    async def _round(self) -> int:
        """One attempt of each lane that is due; when the next is."""
        heads = await self._look()
        now_ms = epoch_ms()
        due = [each for each in heads if each.due_ms <= now_ms]
        outcomes = await asyncio.gather(*(self._retry(each) for each in due), return_exceptions=True)
        for failure in sorted(filter(None, outcomes), key=lambda each: not isinstance(each, GoneError)):
            raise failure
        if due:
            return now_ms  # behind them others may be due at once
        return min((each.due_ms for each in heads), default=now_ms + round(_LOOK_S * 1000))

    async def _look(self) -> list[Waiting]:
        heads = await self._retries.heads(self._name)
        self._held |= {each.lane for each in heads}
        for lane in self._held - {each.lane for each in heads}:
            async with self._lanes[lane]:  # nothing is being added to it meanwhile
                if all(each.lane != lane for each in await self._retries.heads(self._name)):
                    self._held.discard(lane)
        self._oldest_ms = min((each.since_ms for each in heads), default=0)
        self._count(await self._retries.count(self._name))
        return heads

    async def _retry(self, waiting: Waiting) -> None:
        async with self._lanes[waiting.lane]:
            feed = self._feeds.get(waiting.service)
            if feed is None:  # the webhook does not tell of that service any more
                await self._retries.remove(self._name, waiting.envelope.id)
                return
            outcome = await self._send(feed, waiting.envelope)
            if outcome.cause:
                now_ms = epoch_ms()
                step = self._step(waiting, outcome, now_ms)
                tried = replace(waiting, attempts=waiting.attempts + 1, cause=outcome.cause)
                if not isinstance(step, GiveUp):
                    await self._retries.note(replace(tried, due_ms=step.due_ms))
                    return
                await self._bury(feed, tried)
            await self._retries.remove(self._name, waiting.envelope.id)

    async def _bury(self, feed: Feed, tried: Waiting) -> None:
        cause = f"webhook {self._name}: not taken in {tried.attempts} attempts; the last: {tried.cause}"
        await self._bus.bury(feed.subscription(self._name), tried.envelope, cause, tried.attempts)
        self._state.dead += 1
        _log.error("a webhook's message was given up", webhook=self._name, message=tried.envelope.id, cause=tried.cause)

    def _count(self, waiting: int) -> None:
        self._state.waiting = waiting
        if waiting < self._max_waiting:
            self._room.set()
        else:
            self._room.clear()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_STATE_S)
            with suppress(PlatformError):  # told by those who need the database for more
                await self._keep_state()

    async def _keep_state(self) -> None:
        now_ms = epoch_ms()
        self._state.changed_ms = now_ms
        self._state.lag_s = (now_ms - self._oldest_ms) / 1000 if self._oldest_ms else 0.0
        await self._states.keep(self._state)


def target_of(webhook: Webhook) -> str:
    """A digest that tells one URL from another and shows none."""
    return hashlib.sha256(webhook.url.encode()).hexdigest()[:16]
