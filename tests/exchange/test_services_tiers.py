"""Four tiers: which one answers, how old the answer is, what a change or a source that is down does to it."""

import asyncio
from collections.abc import Sequence

import pytest

from cache.memory import MemorySharedCache
from config.model import Freshness
from core.clock import epoch_ms
from core.errors import DeadlineExceeded, NotConnected, Unavailable
from exchange.services.tiers import Kept, Tiers
from tests.conformance.data_service_suite import caller
from tests.exchange.customers import make_tiers

LONG = Freshness(app_s=60, cache_s=60, stale_s=60)
SHORT = Freshness(app_s=0, cache_s=0.05, stale_s=60)


class Source:
    """Loads the text it holds while `gate` is open; raises `error` while it has one, waits `delay_s` before."""

    def __init__(self, text: bytes = b"one", *, delay_s: float = 0.0) -> None:
        self.text = text
        self.delay_s = delay_s
        self.error: Exception | None = None
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Kept:
        self.loads += 1
        text = self.text
        await self.gate.wait()
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return Kept(text, epoch_ms() - 3000, "db", '"1"')


async def read(tiers: Tiers, source: Source, freshness: Freshness = LONG, *, within_s: float = 60.0) -> tuple[bytes, str]:
    answer = await tiers.read("k", source, tag="sales.customers", freshness=freshness, caller=caller(within_s=within_s))
    assert 3.0 <= answer.age_s < 60
    return answer.body, answer.tier


@pytest.mark.req("0.47")
async def test_each_tier_answers_for_the_one_below() -> None:
    shared, source = MemorySharedCache(), Source()
    mine, other = make_tiers(shared), make_tiers(shared)
    assert await read(mine, source) == (b"one", "db")
    assert await read(mine, source) == (b"one", "app")
    assert await read(other, source) == (b"one", "cache")
    assert await read(other, source) == (b"one", "app")
    assert source.loads == 1


async def test_an_announced_change_makes_all_older_entries_unreachable() -> None:
    shared, source = MemorySharedCache(), Source()
    mine, other = make_tiers(shared), make_tiers(shared)
    await read(mine, source)
    source.text = b"two"
    for tiers in (mine, other):
        tiers.announce("sales.customers", 2)
    assert await read(mine, source) == (b"two", "db")
    assert await read(other, source) == (b"two", "cache")


async def test_what_was_read_before_a_change_is_not_kept_behind_it() -> None:
    tiers, source = make_tiers(), Source()
    source.gate.clear()
    reading = asyncio.ensure_future(read(tiers, source))
    while not source.loads:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    source.text = b"two"
    tiers.announce("sales.customers", 2)
    source.gate.set()
    old, _ = await reading
    assert old == b"one"
    assert await read(tiers, source) == (b"two", "db")


@pytest.mark.req("0.02")
async def test_fifty_readers_at_once_cost_the_source_one_call() -> None:
    tiers, source = make_tiers(), Source(delay_s=0.05)
    answers = await asyncio.gather(*(read(tiers, source) for _ in range(50)))
    assert ({body for body, _ in answers}, source.loads) == ({b"one"}, 1)


@pytest.mark.req("0.02")
@pytest.mark.parametrize("error", [NotConnected("down"), Unavailable("broke"), DeadlineExceeded("slow")])
async def test_while_the_source_is_down_the_last_answer_serves_with_its_age(error: Exception) -> None:
    tiers, source = make_tiers(), Source()
    await read(tiers, source, SHORT)
    await asyncio.sleep(0.1)
    source.error = error
    assert await read(tiers, source, SHORT) == (b"one", "cache")
    source.error, source.text = None, b"two"
    assert await read(tiers, source, SHORT) == (b"two", "db")


async def test_a_change_that_was_announced_does_not_take_the_last_answer_from_who_cannot_ask() -> None:
    tiers, source = make_tiers(), Source()
    await read(tiers, source)
    tiers.announce("sales.customers", 2)
    source.error = NotConnected("down")
    assert (await read(tiers, source))[0] == b"one"
    source.error, source.text = None, b"two"
    assert await read(tiers, source) == (b"two", "db")
    assert await read(tiers, source) == (b"two", "app")


async def test_with_source_and_shared_cache_down_the_app_cache_serves_what_it_last_had() -> None:
    brief = Freshness(app_s=0.05, cache_s=60, stale_s=60)
    tiers, source = make_tiers(_Down()), Source()
    await read(tiers, source, brief)
    await asyncio.sleep(0.1)
    source.error = NotConnected("down")
    assert await read(tiers, source, brief) == (b"one", "app")
    await asyncio.sleep(0.1)
    old = Freshness(app_s=0.01, cache_s=0.01, stale_s=0)
    with pytest.raises(NotConnected):
        await read(tiers, source, old)


async def test_past_its_staleness_an_answer_serves_no_more() -> None:
    tiers, source, brief = make_tiers(), Source(), Freshness(app_s=0, cache_s=0.05, stale_s=0.1)
    await read(tiers, source, brief)
    await asyncio.sleep(0.25)
    source.error = NotConnected("down")
    with pytest.raises(NotConnected):
        await read(tiers, source, brief)


class _Down:
    """A shared cache that can't be reached, as core.cache.SharedCache has it."""

    async def get(self, key: str) -> bytes | None:
        return None

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        raise Unavailable("redis does not answer")

    async def delete(self, keys: Sequence[str]) -> None:
        raise Unavailable("redis does not answer")

    async def check(self) -> None:
        raise Unavailable("redis does not answer")

    async def close(self) -> None: ...


async def test_without_the_shared_cache_the_others_go_on() -> None:
    tiers, source = make_tiers(_Down()), Source()
    assert await read(tiers, source) == (b"one", "db")
    assert await read(tiers, source) == (b"one", "app")


async def test_a_load_that_takes_longer_than_the_request_may_is_told() -> None:
    with pytest.raises(DeadlineExceeded):
        await read(make_tiers(), Source(delay_s=5), within_s=0.1)
    with pytest.raises(DeadlineExceeded):
        await read(make_tiers(), Source(delay_s=5), within_s=-1)
