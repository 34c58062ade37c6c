"""The delivery loop on a real embedded bus: acknowledge, retry, bury, drain."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.delivery import Draining, deliver
from bus.embedded import EmbeddedTransport
from core.bus import Envelope, Subscription
from core.errors import InvalidInput, Limited, Unavailable
from tests.conformance.transport_suite import envelope, eventually


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(tmp_path / "bus.db")
    await transport.open()
    yield transport
    await transport.close()


class _Sink:
    """Keeps what it got; fails as told, one error a call."""

    def __init__(self, *errors: Exception) -> None:
        self.got: list[str] = []
        self.moments: list[float] = []
        self._errors = list(errors)

    async def __call__(self, sent: Envelope) -> None:
        self.moments.append(time.monotonic())
        if self._errors:
            raise self._errors.pop(0)
        self.got.append(sent.id)


@asynccontextmanager
async def _delivering(bus: EmbeddedTransport, sink: Callable[[Envelope], Awaitable[None]]) -> AsyncIterator[Draining]:
    """A loop into `sink` while the block runs; it then drains."""
    reader = await bus.subscribe(Subscription("mirror", "#"))
    draining = Draining()
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        group.create_task(deliver(reader, sink, delays_s=(0.05, 0.2), draining=draining))
        yield draining
        draining.begin()
    await reader.close()


async def _settled(bus: EmbeddedTransport) -> None:
    async def is_empty() -> bool:
        return await bus.depth() == {"mirror": 0}

    await eventually(is_empty)


async def test_what_the_sink_took_is_acknowledged(bus: EmbeddedTransport) -> None:
    sink = _Sink()
    async with _delivering(bus, sink):
        await bus.publish([envelope(number) for number in range(20)])
        await _settled(bus)
    assert sink.got == [f"e{number}" for number in range(20)]


async def test_an_error_with_retry_is_tried_again_with_growing_delay_and_in_order(bus: EmbeddedTransport) -> None:
    sink = _Sink(Unavailable("the mirror is away"), Unavailable("the mirror is away"))
    async with _delivering(bus, sink):
        await bus.publish([envelope(0), envelope(1)])
        await _settled(bus)
    assert sink.got == ["e0", "e1"]
    first, second, third, _ = sink.moments
    assert second - first >= 0.05
    assert third - second >= 0.2
    assert await bus.dead_letters() == []


async def test_a_limit_waits_as_long_as_it_says(bus: EmbeddedTransport) -> None:
    sink = _Sink(Limited("slow down", retry_after_s=0.4))
    async with _delivering(bus, sink):
        await bus.publish([envelope(0)])
        await _settled(bus)
    assert sink.moments[1] - sink.moments[0] >= 0.4


@pytest.mark.req("0.31")
async def test_past_the_attempts_it_is_buried_with_its_cause(bus: EmbeddedTransport) -> None:
    sink = _Sink(*(Unavailable("the mirror is away") for _ in range(3)))
    async with _delivering(bus, sink):
        await bus.publish([envelope(0), envelope(1)])
        await _settled(bus)
    assert sink.got == ["e1"]
    (dead,) = await bus.dead_letters()
    assert (dead.envelope.id, dead.cause, dead.attempts) == ("e0", "unavailable: the mirror is away", 3)


@pytest.mark.req("0.31")
async def test_an_error_that_will_not_pass_is_buried_at_once(bus: EmbeddedTransport) -> None:
    sink = _Sink(InvalidInput("row 3: no key"))
    async with _delivering(bus, sink):
        await bus.publish([envelope(0), envelope(1)])
        await _settled(bus)
    (dead,) = await bus.dead_letters()
    assert (dead.cause, dead.attempts) == ("invalid_input: row 3: no key", 1)


async def test_a_fault_in_the_sink_is_buried_with_an_error_id_and_without_its_text(
    bus: EmbeddedTransport, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = _Sink(KeyError("mobile 13800138000"))
    async with _delivering(bus, sink):
        await bus.publish([envelope(0), envelope(1)])
        await _settled(bus)
    assert sink.got == ["e1"]
    (dead,) = await bus.dead_letters()
    assert "13800138000" not in dead.cause
    error_id = dead.cause.split("see error ")[1].split()[0]
    assert error_id in capsys.readouterr().out


async def test_draining_finishes_what_is_in_hand_and_takes_no_other(bus: EmbeddedTransport) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    got = []

    async def slow(sent: Envelope) -> None:
        entered.set()
        await leave.wait()
        got.append(sent.id)

    async with _delivering(bus, slow) as draining:
        await bus.publish([envelope(0), envelope(1)])
        await entered.wait()
        draining.begin()
        await asyncio.sleep(0.05)
        leave.set()
    assert got == ["e0"]
    assert await bus.depth() == {"mirror": 1}
    reader = await bus.subscribe(Subscription("mirror", "#"))
    delivery = await reader.next()
    assert (delivery.envelope.id, delivery.attempt) == ("e1", 1)


async def test_the_loop_ends_with_the_transport(bus: EmbeddedTransport) -> None:
    reader = await bus.subscribe(Subscription("mirror", "#"))
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        group.create_task(deliver(reader, _Sink()))
        await asyncio.sleep(0.05)
        await bus.close()


async def test_draining_may_begin_before_the_loop(bus: EmbeddedTransport) -> None:
    draining = Draining()
    draining.begin()
    async with asyncio.timeout(60):
        await deliver(await bus.subscribe(Subscription("mirror", "#")), _Sink(), draining=draining)
