"""The replay store in a real Redis: one for all nodes, and honest when Redis is down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from cache.replays_memory import MemoryReplays
from cache.replays_redis import RedisReplays
from core.errors import Limited, Unavailable
from tests.conformance.replays_suite import ReplaysConformance, is_new
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def replays(redis_url: str) -> AsyncIterator[RedisReplays]:
    replays = RedisReplays(redis_url, timeout_s=5.0)
    assert await replays.open()
    yield replays
    await replays.close()


class TestRedisReplays(ReplaysConformance):
    pass


@asynccontextmanager
async def driver(url: str) -> AsyncIterator[Redis]:
    """The driver's connection, to look at Redis from aside."""
    connection = Redis.from_url(url)
    try:
        yield connection
    finally:
        await connection.aclose()


async def _answer(replays: RedisReplays, key: str) -> bool | type[Exception]:
    try:
        return await is_new(replays, key)
    except Unavailable as error:
        return type(error)


async def test_of_several_nodes_one_sees_it_as_new(redis_url: str) -> None:
    nodes = [RedisReplays(redis_url) for _ in range(4)]
    assert all([await node.open() for node in nodes])
    answers = await asyncio.gather(*(is_new(node, f"nonce {number}") for number in range(50) for node in nodes))
    assert [sum(answers[at : at + 4]) for at in range(0, 200, 4)] == [1] * 50
    for node in nodes:
        await node.close()


async def test_keys_leave_redis_when_their_time_is_over(redis_url: str, replays: RedisReplays) -> None:
    assert all(await asyncio.gather(*(is_new(replays, f"nonce {number}", 60.0) for number in range(600))))
    assert await is_new(replays, "short", 0.2)
    async with driver(redis_url) as connection:
        left_ms = await connection.pttl("zhiyun:replay:nonce 599")
        assert 30_000 < left_ms <= 60_000
        await asyncio.sleep(0.4)
        assert await connection.exists("zhiyun:replay:short", "zhiyun:replay:nonce 0") == 1


async def test_down_is_unavailable_never_a_replay_and_a_restarted_redis_serves_again(
    redis_server: RedisServer, replays: RedisReplays
) -> None:
    assert await is_new(replays, "nonce")
    under_way = [asyncio.ensure_future(_answer(replays, f"under way {number}")) for number in range(20)]
    redis_server.kill()
    assert set(await asyncio.gather(*under_way)) <= {True, Unavailable}
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match=str(redis_server.port)):
        await is_new(replays, "nonce")
    redis_server.start()
    async with asyncio.timeout(60):
        while (answer := await _answer(replays, "nonce")) is Unavailable:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert answer is True  # what it knew is gone with it
    assert await _answer(replays, "nonce") is False


async def test_a_fallback_serves_while_redis_is_down(redis_server: RedisServer, redis_url: str) -> None:
    replays = RedisReplays(redis_url, fallback=MemoryReplays(max_entries=2))
    redis_server.kill()
    assert not await replays.open()
    assert await is_new(replays, "one")
    assert not await is_new(replays, "one")
    assert await is_new(replays, "two")
    with pytest.raises(Limited):
        await is_new(replays, "three")
    redis_server.start()
    await replays.close()


async def test_what_redis_refuses_is_no_replay(redis_url: str, replays: RedisReplays) -> None:
    async with driver(redis_url) as connection:
        await connection.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unavailable, match="maxmemory"):
                await is_new(replays, "nonce")
        finally:
            await connection.config_set("maxmemory", "0")
    assert await is_new(replays, "nonce")


async def test_a_caller_that_leaves_does_not_stop_the_others(replays: RedisReplays) -> None:
    leaver = asyncio.ensure_future(is_new(replays, "one"))
    others = [asyncio.ensure_future(is_new(replays, f"nonce {number}")) for number in range(10)]
    await asyncio.sleep(0)
    leaver.cancel()
    assert await asyncio.gather(*others) == [True] * 10
    assert leaver.cancelled()


async def test_closing_answers_those_who_wait(redis_url: str) -> None:
    replays = RedisReplays(redis_url)
    await replays.open()
    waiting = [asyncio.ensure_future(_answer(replays, f"nonce {number}")) for number in range(300)]
    await asyncio.sleep(0)
    await replays.close()
    assert set(await asyncio.gather(*waiting)) == {Unavailable}
