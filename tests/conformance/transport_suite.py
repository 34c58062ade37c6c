"""What every transport must do (core.bus), to be run unchanged against each: sub-class `TransportConformance`."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.bus import Delivery, Envelope, Reader, Replayed, Span, Subscription, Transport
from core.errors import Conflict, InvalidInput, NotConnected, NotFound

Open = Callable[[], Awaitable[Transport]]
_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("bus_process.py")
_WITHIN_S = 60.0


def envelope(number: int, *, topic: str = "sales.orders.upsert", key: str = "k", data: bytes = b"payload") -> Envelope:
    return Envelope(f"e{number}", topic, "test", 1_700_000_000_000 + number, key, 1, "application/json", data, "00-aa-bb-01")


async def take(reader: Reader) -> Delivery:
    async with asyncio.timeout(_WITHIN_S):
        return await reader.next()


async def take_all(reader: Reader, count: int) -> list[str]:
    """Ids of the next `count` envelopes, each acknowledged."""
    ids = []
    for _ in range(count):
        delivery = await take(reader)
        await delivery.ack()
        ids.append(delivery.envelope.id)
    return ids


async def is_quiet(reader: Reader, seconds: float = 0.4) -> bool:
    """Whether nothing comes for a while."""
    try:
        async with asyncio.timeout(seconds):
            await reader.next()
    except TimeoutError:
        return True
    return False


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while not await condition():  # noqa: ASYNC110 -- what another process stored has no event here
            await asyncio.sleep(0.05)


class TransportConformance:
    """`open_transport` opens one more transport on the same bus; `process_address` is what bus_process.py is given."""

    process_kind: str

    @pytest.fixture
    async def transport(self, open_transport: Open) -> Transport:
        return await open_transport()

    @asynccontextmanager
    async def process(self, address: str, role: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Another process on the same bus, killed with SIGKILL at the end."""
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(_SCRIPT), self.process_kind, address, role, name,
            stdout=asyncio.subprocess.PIPE, env=environment, cwd=_ROOT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def lines_until_killed(self, process: asyncio.subprocess.Process, count: int) -> list[str]:
        """The first `count` lines, then what it could still say before SIGKILL reached it."""
        assert process.stdout is not None
        async with asyncio.timeout(_WITHIN_S):
            lines = [(await process.stdout.readline()).decode() for _ in range(count)]
        process.kill()
        rest, _ = await process.communicate()
        return [line.strip() for line in [*lines, *rest.decode().splitlines(keepends=True)] if line.endswith("\n")]

    async def test_an_envelope_arrives_as_it_was_published(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#"))
        sent = envelope(1, data=bytes(range(256)))
        await transport.publish([sent])
        delivery = await take(reader)
        assert delivery.envelope == sent
        assert delivery.attempt == 1
        await delivery.ack()
        assert await is_quiet(reader)

    async def test_an_envelope_without_any_subscription_is_no_error(self, transport: Transport) -> None:
        await transport.publish([envelope(1)])
        reader = await transport.subscribe(Subscription("late", "#"))
        await transport.publish([envelope(2)])
        assert await take_all(reader, 1) == ["e2"]

    async def test_a_wrong_topic_or_pattern_is_refused(self, transport: Transport) -> None:
        with pytest.raises(InvalidInput, match="topic"):
            await transport.publish([envelope(1, topic="Sales Orders")])
        with pytest.raises(InvalidInput, match="pattern"):
            await transport.subscribe(Subscription("mirror", "sales..#"))

    async def test_patterns_route_as_in_amqp(self, transport: Transport) -> None:
        one = await transport.subscribe(Subscription("one", "sales.*.upsert"))
        many = await transport.subscribe(Subscription("many", "sales.#"))
        topics = ["sales.orders.upsert", "sales.orders.delete", "sales", "sales.a.b.upsert", "estate.owners.upsert"]
        await transport.publish([envelope(number, topic=topic) for number, topic in enumerate(topics)])
        await transport.publish([envelope(9, topic="sales.customers.upsert")])
        assert await take_all(one, 2) == ["e0", "e9"]
        assert await take_all(many, 5) == ["e0", "e1", "e2", "e3", "e9"]
        assert await is_quiet(one)

    async def test_what_was_not_acknowledged_survives_close_and_open(self, open_transport: Open) -> None:
        first = await open_transport()
        reader = await first.subscribe(Subscription("mirror", "#"))
        await first.publish([envelope(number) for number in range(5)])
        assert await take_all(reader, 2) == ["e0", "e1"]
        lost = await take(reader)
        await first.close()
        with pytest.raises(NotConnected):
            await lost.ack()
        second = await open_transport()
        again = await second.subscribe(Subscription("mirror", "#"))
        delivery = await take(again)
        assert (delivery.envelope.id, delivery.attempt) == ("e2", 2)
        await delivery.ack()
        assert await take_all(again, 2) == ["e3", "e4"]
        assert await is_quiet(again)

    async def test_published_while_no_reader_lives(self, open_transport: Open) -> None:
        first = await open_transport()
        reader = await first.subscribe(Subscription("mirror", "#"))
        await reader.close()
        await first.publish([envelope(number) for number in range(3)])
        await first.close()
        second = await open_transport()
        assert await take_all(await second.subscribe(Subscription("mirror", "#")), 3) == ["e0", "e1", "e2"]

    async def test_order_per_key_holds_across_a_retry(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#"))
        await transport.publish([envelope(number, key="one") for number in range(4)])
        first = await take(reader)
        began = asyncio.get_running_loop().time()
        await first.retry("source away", delay_s=0.3)
        again = await take(reader)
        assert (again.envelope.id, again.attempt) == ("e0", 2)
        assert asyncio.get_running_loop().time() - began >= 0.28
        await again.ack()
        assert await take_all(reader, 3) == ["e1", "e2", "e3"]

    async def test_one_reader_of_a_name_is_active_and_another_takes_over(self, open_transport: Open) -> None:
        first, second = await open_transport(), await open_transport()
        active = await first.subscribe(Subscription("mirror", "#"))
        await first.publish([envelope(0)])
        assert await take_all(active, 1) == ["e0"]
        standby = await second.subscribe(Subscription("mirror", "#"))
        await second.publish([envelope(number) for number in range(1, 6)])
        assert await is_quiet(standby)
        assert await take_all(active, 2) == ["e1", "e2"]
        await active.close()
        assert await take_all(standby, 3) == ["e3", "e4", "e5"]

    async def test_past_max_attempts_it_is_buried(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#", max_attempts=2))
        await transport.publish([envelope(0), envelope(1)])
        await (await take(reader)).retry("first", delay_s=0.0)
        again = await take(reader)
        assert again.attempt == 2
        await again.retry("sink refused", delay_s=0.0)
        assert await take_all(reader, 1) == ["e1"]
        (dead,) = await transport.dead_letters()
        assert (dead.subscription, dead.envelope, dead.attempts) == ("mirror", envelope(0), 2)
        assert dead.cause == "sink refused"
        assert dead.dead_ms > 1_700_000_000_000
        assert await transport.depth() == {"mirror": 0}

    async def test_what_was_settled_is_replayed_to_one_subscription_alone(self, open_transport: Open) -> None:
        transport = await open_transport()
        one = await transport.subscribe(Subscription("one", "sales.#"))
        two = await transport.subscribe(Subscription("two", "#"))
        began_ms = int(time.time()) * 1000
        topics = ["sales.orders.upsert", "sales.orders.delete", "stock.rooms.upsert"]
        sent = [envelope(number, topic=topics[number % 3]) for number in range(30)]
        await transport.publish(sent)
        assert len(await take_all(one, 20)) == 20
        assert len(await take_all(two, 30)) == 30
        whole = Span(began_ms, began_ms + 3_600_000)
        dry = await transport.past.replay("one", whole, is_dry=True)
        assert (dry.envelopes, dry.records) == (20, 20), "what the subscription reads"
        assert began_ms <= dry.first_ms <= dry.last_ms
        assert await is_quiet(one)
        wanted = replace(whole, pattern="*.*.delete")
        assert await transport.past.replay("one", wanted, is_dry=False) == await transport.past.replay("one", wanted, is_dry=True)
        assert await take_all(one, 10) == [each.id for each in sent if each.topic.endswith("delete")]
        other = await open_transport()
        assert (await other.past.replay("two", whole, is_dry=False)).envelopes == 30, "what was put back is not the past"
        assert await take_all(two, 30) == [each.id for each in sent]
        assert await is_quiet(one)
        assert await transport.past.replay("two", Span(0, began_ms - 1000), is_dry=False) == Replayed()
        assert await transport.past.replay("two", Span(began_ms + 3_600_000, began_ms + 7_200_000), is_dry=False) == Replayed()
        with pytest.raises(NotFound, match="no durable subscription 'nobody'"):
            await transport.past.replay("nobody", whole, is_dry=True)
        with pytest.raises(InvalidInput, match="pattern 'A b' is not segments"):
            await transport.past.replay("one", replace(whole, pattern="A b"), is_dry=True)

    async def test_dead_letters_are_listed_oldest_first_and_redelivered_to_their_own_subscription(
        self, open_transport: Open
    ) -> None:
        transport = await open_transport()
        one = await transport.subscribe(Subscription("one", "#"))
        two = await transport.subscribe(Subscription("two", "#"))
        await transport.publish([envelope(number) for number in range(3)])
        for number in range(3):
            await (await take(one)).bury(f"cause {number}")
        assert await take_all(two, 3) == ["e0", "e1", "e2"]
        other = await open_transport()
        dead = await other.dead_letters()
        assert [(letter.envelope.id, letter.cause) for letter in dead] == [("e0", "cause 0"), ("e1", "cause 1"), ("e2", "cause 2")]
        assert len({letter.id for letter in await other.dead_letters(limit=2)}) == 2
        assert await other.dead_letters() == dead  # looking changes nothing
        await other.redeliver(dead[1].id)
        again = await take(one)
        assert (again.envelope.id, again.attempt) == ("e1", 1)
        await again.ack()
        assert [letter.envelope.id for letter in await transport.dead_letters()] == ["e0", "e2"]
        assert await is_quiet(two)
        with pytest.raises(NotFound, match=dead[1].id):
            await other.redeliver(dead[1].id)
        given_up = await other.discard(dead[0].id)
        assert (given_up.id, given_up.envelope.id, given_up.cause) == (dead[0].id, "e0", "cause 0")
        assert [letter.envelope.id for letter in await transport.dead_letters()] == ["e2"]
        for gone in (dead[0].id, "nonsense"):
            with pytest.raises(NotFound, match=gone):
                await other.discard(gone)
        assert await is_quiet(one)

    async def test_depth_counts_what_is_not_settled(self, open_transport: Open) -> None:
        transport = await open_transport()
        one = await transport.subscribe(Subscription("one", "sales.#"))
        await (await transport.subscribe(Subscription("all", "#"))).close()
        await transport.publish([*(envelope(number) for number in range(3)), envelope(9, topic="estate.owners.upsert")])
        await take_all(one, 1)
        await one.close()  # what another process holds in its hands, a broker does not tell
        other = await open_transport()

        async def has_settled() -> bool:
            return await other.depth() == {"one": 2, "all": 4}

        await eventually(has_settled)

    async def test_at_most_prefetch_are_unsettled(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#", prefetch=3))
        await transport.publish([envelope(number, key=str(number)) for number in range(6)])
        held = [await take(reader) for _ in range(3)]
        assert await is_quiet(reader)
        await held[1].ack()
        assert (await take(reader)).envelope.id == "e3"

    async def test_a_name_is_not_reused_for_another_pattern(self, open_transport: Open) -> None:
        await (await open_transport()).subscribe(Subscription("mirror", "sales.#"))
        with pytest.raises(Conflict, match="mirror"):
            await (await open_transport()).subscribe(Subscription("mirror", "#"))

    @pytest.mark.req("0.33")
    async def test_control_messages_reach_every_broadcast_reader_and_no_data_reader(self, open_transport: Open) -> None:
        first, second = await open_transport(), await open_transport()
        await first.publish([envelope(0, topic="control.reload")], channel="control")
        broadcast = Subscription("reload", "control.#", channel="control", durable=False)
        readers = [await first.subscribe(broadcast), await second.subscribe(broadcast)]
        data = await first.subscribe(Subscription("mirror", "#"))
        await second.publish([envelope(1, topic="control.reload")], channel="control")
        assert [await take_all(reader, 1) for reader in readers] == [["e1"], ["e1"]]
        assert await is_quiet(data)
        assert list(await first.depth()) == ["mirror"]

    async def test_overlapping_publishers_lose_nothing(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#"))
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(transport.publish([envelope(number)]))
        assert sorted(await take_all(reader, 100)) == sorted(f"e{number}" for number in range(100))

    @pytest.mark.req("3.07")
    async def test_ten_thousand_are_read_once_and_in_order(self, transport: Transport) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#", prefetch=200))
        envelopes = [envelope(number, data=b"r" * 200) for number in range(10_000)]
        for start in range(0, 10_000, 500):
            await transport.publish(envelopes[start : start + 500])
        assert await take_all(reader, 10_000) == [sent.id for sent in envelopes]
        assert await is_quiet(reader)

    async def test_close_ends_a_waiting_reader(self, open_transport: Open) -> None:
        transport = await open_transport()
        reader = await transport.subscribe(Subscription("mirror", "#"))

        async def wait_for_the_end() -> None:
            with pytest.raises(NotConnected):
                await take(reader)

        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_the_end())
            await asyncio.sleep(0.1)
            await transport.close()
        await transport.close()
        with pytest.raises(NotConnected):
            await transport.publish([envelope(1)])

    async def test_nothing_confirmed_is_lost_when_the_publishing_process_is_killed(
        self, transport: Transport, process_address: str
    ) -> None:
        reader = await transport.subscribe(Subscription("mirror", "#"))
        async with self.process(process_address, "publish", "p") as process:
            confirmed = await self.lines_until_killed(process, 50)
        received = await take_all(reader, len(confirmed))
        assert received == confirmed  # one more may follow: stored, but killed before it could say so

    async def test_nothing_is_lost_when_the_reading_process_is_killed(self, transport: Transport, process_address: str) -> None:
        await (await transport.subscribe(Subscription("mirror", "#"))).close()
        await transport.publish([envelope(number) for number in range(200)])
        async with self.process(process_address, "read", "mirror") as process:
            taken = [line.split()[0] for line in await self.lines_until_killed(process, 40)]
        reader = await transport.subscribe(Subscription("mirror", "#"))
        rest = [(await take(reader)).envelope.id]
        rest += await self._rest(reader)
        assert set(taken) | set(rest) == {f"e{number}" for number in range(200)}
        assert rest == sorted(rest, key=lambda name: int(name[1:]))

    async def _rest(self, reader: Reader) -> list[str]:
        ids: list[str] = []
        while not ids or ids[-1] != "e199":
            ids += await take_all(reader, 1)
        return ids

    async def test_a_message_that_kills_its_process_is_buried(self, transport: Transport, process_address: str) -> None:
        await (await transport.subscribe(Subscription("mirror", "#"))).close()
        await transport.publish([envelope(number) for number in range(3)])
        for attempt in (1, 2, 3):
            async with self.process(process_address, "poison", "mirror") as process:
                assert process.stdout is not None
                line = (await process.stdout.readline()).decode()
            assert line.split() == ["e0", str(attempt)]
        reader = await transport.subscribe(Subscription("mirror", "#"))
        # How often e1 and e2 were in the killed processes' hands differs; they were not the first, and must not be lost.
        received = await take_all(reader, 1)
        (dead, *_) = await transport.dead_letters()
        assert dead.envelope.id == "e0"
        assert dead.attempts == 3
        assert "ended" in dead.cause
        assert received == ["e1"]

    async def test_a_subscription_that_is_removed_keeps_nothing(self, open_transport: Open) -> None:
        transport = await open_transport()
        reader = await transport.subscribe(Subscription("hook", "sales.#"))
        await transport.publish([envelope(1), envelope(2)])
        await (await take(reader)).bury("no")
        await transport.unsubscribe("hook")
        await transport.unsubscribe("hook")
        with pytest.raises(NotConnected):
            await reader.next()
        assert await transport.dead_letters() == []
        assert "hook" not in await transport.depth()
        await transport.publish([envelope(3)])
        again = await transport.subscribe(Subscription("hook", "other.#"))  # the name may read something else now
        assert await is_quiet(again)
        other = await open_transport()
        assert (await other.depth())["hook"] == 0

    async def test_a_part_can_be_buried_beside_what_was_delivered(self, open_transport: Open) -> None:
        transport = await open_transport()
        reader = await transport.subscribe(Subscription("hook", "sales.#"))
        with pytest.raises(NotFound):
            await transport.bury("nobody", envelope(7), "gone", 3)
        await transport.bury("hook", envelope(7), "it answered 500", 3)
        (letter,) = await transport.dead_letters()
        assert (letter.subscription, letter.envelope, letter.cause, letter.attempts) == ("hook", envelope(7), "it answered 500", 3)
        await transport.redeliver(letter.id)
        assert await take_all(reader, 1) == ["e7"]
