"""Limits that each node decides alone and syncs: no more is admitted than the stated error, and little less than allowed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from cache.gcra import count_bound
from cache.limiter_redis import WhenDown
from cache.limiter_synced import SyncedLimiter
from core.cache import Bound
from core.errors import Unavailable
from tests.conformance.limiter_suite import Ideal, LimiterConformance, decided, passed, rate, until, until_admitted
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def limiter(redis_url: str) -> AsyncIterator[SyncedLimiter]:
    limiter = SyncedLimiter(redis_url, sync_s=0.02, timeout_s=5.0)
    assert await limiter.open()
    yield limiter
    await limiter.close()


class TestSyncedLimiter(LimiterConformance):
    pass


async def _nodes(url: str, count: int, sync_s: float = 0.1) -> list[SyncedLimiter]:
    nodes = [SyncedLimiter(url, sync_s=sync_s, timeout_s=5.0) for _ in range(count)]
    for node in nodes:
        assert await node.open()
    await until(lambda: all(node.nodes == count for node in nodes))
    return nodes


async def _hammered(nodes: Sequence[SyncedLimiter], bound: Bound, seconds: float, ideal: Ideal | None = None) -> tuple[int, float]:
    """All nodes ask far more than is allowed: how many were admitted, and in which time."""
    admitted, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        if ideal is not None:
            ideal.ask(10 * len(nodes))
        for node in nodes:
            for _ in range(10):
                admitted += node.decide((("app", bound),)).refused < 0
        await asyncio.sleep(0.002)
    return admitted, time.monotonic() - began


@pytest.mark.parametrize(("nodes", "per_s", "burst"), [(2, 500.0, 100), (4, 200.0, 40), (4, 20.0, 1), (3, 300.0, 1_000)])
async def test_a_rate_over_several_nodes_keeps_within_the_stated_error(
    redis_url: str, nodes: int, per_s: float, burst: int
) -> None:
    """The error: at most 2 x (burst + nodes) over the limit, once."""
    opened = await _nodes(redis_url, nodes)
    ideal = Ideal(per_s, burst)
    admitted, seconds = await _hammered(opened, rate(per_s, burst), 1.5, ideal)
    limit = burst + per_s * seconds
    assert admitted <= limit + 2 * (burst + nodes)
    assert admitted >= 0.7 * ideal.admitted
    admitted_after, seconds_after = await _hammered(opened, rate(per_s, burst), 1.0)
    assert admitted + admitted_after <= limit + per_s * seconds_after + 2 * (burst + nodes)  # once: it does not add up
    for node in opened:
        await node.close()


async def test_one_busy_node_among_idle_ones_gets_nearly_all_of_the_rate(redis_url: str) -> None:
    opened = await _nodes(redis_url, 4)
    ideal = Ideal(200.0, 20)
    admitted, seconds = await _hammered(opened[:1], rate(200.0, 20), 1.5, ideal)
    assert 0.7 * ideal.admitted <= admitted <= 20 + 200 * seconds + 2 * (20 + 4)
    for node in opened:
        await node.close()


@pytest.mark.parametrize("kind", ["day", "month"])
async def test_a_quota_over_several_nodes_keeps_within_the_stated_error(redis_url: str, kind: str) -> None:
    opened = await _nodes(redis_url, 3)
    admitted, _ = await _hammered(opened, count_bound(kind, 200), 1.5)
    assert 200 <= admitted <= 200 + 2 * (200 + 3)
    late = SyncedLimiter(redis_url, sync_s=0.1)  # a node that comes when all is used learns it at its first exchange
    assert await late.open()
    async with asyncio.timeout(60):
        while (await decided(late, ("app", count_bound(kind, 200)))).refused != 0:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for node in (*opened, late):
        await node.close()


async def test_places_under_way_are_shared_and_those_of_a_silent_node_come_free(redis_url: str) -> None:
    first, second = await _nodes(redis_url, 2, sync_s=0.02)
    charge = ("c", count_bound("concurrent", 6))
    held = [answer.held for answer in [await decided(first, charge) for _ in range(3)] if answer.held]
    assert len(held) == 3
    async with asyncio.timeout(60):
        while len(taken := [answer.held for answer in [await decided(second, charge) for _ in range(10)] if answer.held]) > 3:
            for each in taken:  # it has not heard of the other's yet
                second.give_back(each)
            await asyncio.sleep(0.05)
    for each in held:
        first.give_back(each)
    await until_admitted(second, charge)
    for node in (first, second):
        await node.close()


async def test_redis_killed_and_back(redis_server: RedisServer, redis_url: str) -> None:
    nodes = await _nodes(redis_url, 2, sync_s=0.02)
    bound = rate(0.01, 10)
    redis_server.kill()
    await until(lambda: not any(node.is_up for node in nodes))
    assert [await passed(node, [("down", bound)], 15) for node in nodes] == [10, 10]  # each alone: nodes x limit
    redis_server.start()
    await until(lambda: all(node.is_up and not node._touched and not node._under_way for node in nodes))
    await asyncio.sleep(0.2)  # some exchanges more: each has heard the other
    assert [await passed(node, [("down", bound)], 5) for node in nodes] == [0, 0]  # what was counted meanwhile is told
    for node in nodes:
        await node.close()


async def test_it_may_refuse_while_redis_is_down(free_port: int) -> None:
    limiter = SyncedLimiter(f"redis://127.0.0.1:{free_port}/0", when_down="refuse")
    with pytest.raises(Unavailable) as caught:
        limiter.decide((("app", rate(1.0, 1)),))
    assert caught.value.specific_code == "limiter_unavailable"
    await limiter.close()


async def test_the_table_is_bounded(redis_url: str) -> None:
    limiter = SyncedLimiter(redis_url, max_keys=100)
    assert await limiter.open()
    bound = rate(0.01, 5)
    for number in range(2_000):
        limiter.decide(((f"ip {number}", bound),))
        assert len(limiter._shares) <= 100
    await asyncio.sleep(0.3)
    await limiter.close()


async def test_a_look_is_as_of_now_on_a_node_that_knew_nothing(redis_url: str) -> None:
    first, second = await _nodes(redis_url, 2)
    charges = [("d", count_bound("day", 40)), ("c", count_bound("concurrent", 9)), ("r", rate(0.01, 30))]
    assert await passed(first, charges, 3) == 3
    await asyncio.sleep(0.3)  # first has told
    assert [left for left, _ in await second.look(charges)] == [37, 6, 27]
    await passed(second, charges, 2)
    assert [left for left, _ in await second.look(charges)] == [35, 4, 25]
    assert [left for left, _ in await first.look(charges)] == [35, 4, 25]
    for node in (first, second):
        await node.close()


@pytest.mark.parametrize("when_down", ["local", "refuse"])
async def test_a_look_while_redis_is_down(redis_server: RedisServer, redis_url: str, when_down: WhenDown) -> None:
    node = SyncedLimiter(redis_url, sync_s=0.02, when_down=when_down, timeout_s=5.0)
    assert await node.open()
    charges = [("d", count_bound("day", 9))]
    await passed(node, charges, 2)
    redis_server.kill()
    if when_down == "local":
        assert (await node.look(charges))[0][0] == 7
    else:
        await until(lambda: not node.is_up)
        with pytest.raises(Unavailable, match="limits can't be counted"):
            await node.look(charges)
    redis_server.start()
    await node.close()
