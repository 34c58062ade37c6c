"""The live end of a subscription of the embedded transport: fetches, hands out in order, settles."""

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Protocol, TypeVar

from bus import embedded_log as log
from bus.window import Hand, Window
from core.bus import Delivery, Envelope, Reader, Subscription
from core.clock import epoch_ms
from core.errors import NotConnected, PlatformError

T = TypeVar("T")
_STANDBY_S = 0.1
_SCAN_STEP = 1_000  # how far past envelopes of other topics a reader goes before it notes it


class Store(Protocol):
    """How a reader reaches the file: reads in one thread, writes in the group-committing one."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def write(self, work: Callable[[Connection], T], *, is_synced: bool) -> T: ...


class Turn:
    """The right to be the one active reader of a name, on all processes of the machine: a lock the kernel frees at death."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.with_name(f"{path.name}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")
        self._file: int | None = None

    def try_take(self) -> bool:
        """Whether it is ours now. Never waits: two system calls on a local file."""
        if self._file is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def give_back(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class EmbeddedReader:
    """See core.bus.Reader. Only the process that holds the subscription's turn is handed anything; the others stand by."""

    def __init__(self, store: Store, subscription: Subscription, turn: Turn | None, position: int) -> None:
        self.subscription = subscription
        self._store = store
        self._turn = turn
        self._is_active = turn is None
        self._scanned = position
        self._noted = position
        self._window: Window[Envelope] = Window(subscription.prefetch)
        self._progress: dict[int, log.Progress] = {}
        self._news = asyncio.Event()
        self._is_closed = False

    def wake(self) -> None:
        """Something was published, or the reader was closed."""
        self._news.set()

    async def next(self) -> Delivery:
        while True:
            self.check_open()
            self._news.clear()  # before looking, so that nothing published meanwhile is slept through
            if not self._is_active and not await self._take_turn():
                continue
            step = self._window.take(time.monotonic())
            if isinstance(step, Hand):
                delivery = await self._hand_out(step)
                if delivery is not None:
                    return delivery
            elif not (self._window.is_idle and self._window.room and await self._fetch()):
                await self._sleep(step.seconds)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def check_open(self) -> None:
        if self._is_closed:
            raise NotConnected(f"the reader of subscription {self.subscription.name!r} was closed")

    async def _take_turn(self) -> bool:
        if self._turn is not None and not self._turn.try_take():
            await self._sleep(_STANDBY_S)
            return False
        self._scanned = self._noted = await self._store.read(lambda db: log.floor(db, self.subscription.name))
        self._progress = await self._store.read(lambda db: log.progress(db, self.subscription.name))
        self._is_active = True
        return True

    async def _fetch(self) -> bool:
        """Whether the log went on; the window may still be empty, when it was all for others."""
        before = self._scanned
        found, scanned = await self._store.read(lambda db: log.read(db, self.subscription, before, self._window.room))
        for stored in found:
            self._add(stored)
        self._scanned = scanned
        if self.subscription.durable and self._window.is_idle and scanned - self._noted >= _SCAN_STEP:
            await self._write(lambda db: log.raise_floor(db, self.subscription.name, self._floor()))
            self._noted = scanned
        return scanned > before

    def _add(self, stored: log.Stored) -> None:
        earlier = self._progress.get(stored.position)
        if earlier is None:
            self._window.add(stored.position, stored.envelope)
        elif not earlier.is_settled:
            delay_s = max(0.0, (earlier.due_ms - epoch_ms()) / 1000)
            self._window.add_waiting(stored.position, stored.envelope, time.monotonic() + delay_s)

    async def _hand_out(self, hand: Hand[Envelope]) -> Delivery | None:
        try:
            attempt = await self._begin_attempt(hand.number)
        except asyncio.CancelledError:
            self._window.postpone(hand.number, 0.0)
            await self._forget_attempt(hand.number)
            raise
        except PlatformError:
            self._window.postpone(hand.number, 0.0)
            raise
        delivery = EmbeddedDelivery(self, hand.number, hand.item, attempt)
        if attempt <= self.subscription.max_attempts:
            return delivery
        # Counted but never settled: every process that had it in its hands ended.
        earlier = self._progress.get(hand.number)
        last = f"; the cause before: {earlier.cause}" if earlier and earlier.cause else ""
        cause = f"not settled in {attempt - 1} deliveries, the reading process ended each time{last}"
        await self._bury(delivery, cause, attempt - 1)
        return None

    async def _begin_attempt(self, position: int) -> int:
        if not self.subscription.durable:
            earlier = self._progress.get(position)
            self._progress[position] = log.Progress((earlier.attempts if earlier else 0) + 1, 0, False, "")
            return self._progress[position].attempts
        return await self._write(lambda db: log.begin_attempt(db, self.subscription.name, position))

    async def _forget_attempt(self, position: int) -> None:
        if self.subscription.durable:
            with suppress(PlatformError):  # then it counts: one attempt too few, at a bus that is failing or closed
                await asyncio.shield(self._write(lambda db: log.forget_attempt(db, self.subscription.name, position)))

    async def _write(self, work: Callable[[Connection], T]) -> T:
        # Not synced: a killed process loses nothing of it, and after a power cut a delivery comes once more.
        return await self._store.write(work, is_synced=False)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _floor(self) -> int:
        lowest = self._window.lowest
        return self._scanned if lowest is None else lowest - 1

    async def settle(self, position: int) -> None:
        """Called by the delivery: done, without a dead letter."""
        await self._settle(position, None)

    async def _settle(self, position: int, before: Callable[[Connection], Any] | None) -> None:
        self.check_open()
        self._window.settle(position)
        self._progress.pop(position, None)
        self.wake()
        if not self.subscription.durable:
            return
        new_floor, name = self._floor(), self.subscription.name

        def work(db: Connection) -> None:
            if before is not None:
                before(db)
            log.settle(db, name, position, new_floor)

        await self._write(work)

    async def postpone(self, delivery: "EmbeddedDelivery", cause: str, delay_s: float) -> None:
        """Called by the delivery: again later, or never again after the last attempt."""
        self.check_open()
        if delivery.attempt >= self.subscription.max_attempts:
            await self._bury(delivery, cause, delivery.attempt)
            return
        self._window.postpone(delivery.position, time.monotonic() + delay_s)
        self.wake()
        if self.subscription.durable:
            due_ms = epoch_ms() + round(delay_s * 1000)
            await self._write(lambda db: log.postpone(db, self.subscription.name, delivery.position, due_ms, cause))

    async def bury(self, delivery: "EmbeddedDelivery", cause: str) -> None:
        """Called by the delivery: to the dead letters, which only a durable subscription has."""
        await self._bury(delivery, cause, delivery.attempt)

    async def _bury(self, delivery: "EmbeddedDelivery", cause: str, attempts: int) -> None:
        name = self.subscription.name
        await self._settle(delivery.position, lambda db: log.bury(db, name, delivery.envelope, cause, attempts))

    async def close(self) -> None:
        self._is_closed = True
        if self._turn is not None:
            self._turn.give_back()
        self.wake()


class EmbeddedDelivery:
    """See core.bus.Delivery."""

    def __init__(self, reader: EmbeddedReader, position: int, envelope: Envelope, attempt: int) -> None:
        self._reader = reader
        self.position = position
        self._envelope = envelope
        self._attempt = attempt

    @property
    def envelope(self) -> Envelope:
        return self._envelope

    @property
    def attempt(self) -> int:
        return self._attempt

    async def ack(self) -> None:
        await self._reader.settle(self.position)

    async def retry(self, cause: str, *, delay_s: float) -> None:
        await self._reader.postpone(self, cause, delay_s)

    async def bury(self, cause: str) -> None:
        await self._reader.bury(self, cause)


def _conforms(reader: EmbeddedReader, delivery: EmbeddedDelivery) -> tuple[Reader, Delivery]:
    return reader, delivery
