"""The replay store in a real Redis: one for all nodes, and honest when Redis is down."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cache.redis_connection import RedisConnection
from cache.replays_memory import MemoryReplays
from cache.replays_redis import RedisReplays
from core.errors import Limited, Unavailable
from tests.conformance.replays_suite import ReplaysConformance, is_new
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def replays(redis_url: str) -> AsyncIterator[RedisReplays]:
    replays = RedisReplays(RedisConnection(redis_url, pause_s=0.2))
    yield replays
    await replays.close()


class TestRedisReplays(ReplaysConformance):
    pass


async def test_of_several_nodes_one_sees_it_as_new(redis_url: str) -> None:
    nodes = [RedisReplays(RedisConnection(redis_url)) for _ in range(4)]
    answers = await asyncio.gather(*(node.is_new(f"nonce {number}", 60.0) for number in range(50) for node in nodes))
    assert [sum(answers[at : at + 4]) for at in range(0, 200, 4)] == [1] * 50
    for node in nodes:
        await node.close()


async def test_the_questions_of_one_round_share_few_commands_and_keys_end_by_themselves(
    redis_url: str, replays: RedisReplays
) -> None:
    assert all(await asyncio.gather(*(replays.is_new(f"nonce {number}", 0.3) for number in range(600))))
    connection = RedisConnection(redis_url)
    assert await connection.call(lambda redis: redis.dbsize()) == 600
    await asyncio.sleep(0.5)
    assert await connection.call(lambda redis: redis.exists(*(f"zhiyun:replay:nonce {number}" for number in range(600)))) == 0
    await connection.close()


async def test_down_is_unavailable_never_a_replay_and_a_restarted_redis_serves_again(
    redis_server: RedisServer, replays: RedisReplays
) -> None:
    assert await replays.is_new("nonce", 60.0)
    redis_server.kill()
    answers = await asyncio.gather(*(replays.is_new(f"nonce {number}", 60.0) for number in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    assert str(redis_server.port) in str(answers[0])
    redis_server.start()
    await asyncio.sleep(0.25)
    assert await replays.is_new("nonce", 60.0)  # what it knew is gone with it


async def test_a_fallback_serves_while_redis_is_down(redis_server: RedisServer, redis_url: str) -> None:
    replays = RedisReplays(RedisConnection(redis_url, pause_s=0.2), fallback=MemoryReplays(max_entries=2))
    redis_server.kill()
    assert await is_new(replays, "one")
    assert not await is_new(replays, "one")
    assert await is_new(replays, "two")
    with pytest.raises(Limited):
        await is_new(replays, "three")
    redis_server.start()
    await replays.close()


async def test_a_caller_that_leaves_does_not_stop_the_others(replays: RedisReplays) -> None:
    leaver = asyncio.ensure_future(replays.is_new("one", 60.0))
    others = [replays.is_new(f"nonce {number}", 60.0) for number in range(10)]
    leaver.cancel()
    assert await asyncio.gather(*others) == [True] * 10


async def test_closing_answers_those_who_wait(redis_url: str) -> None:
    replays = RedisReplays(RedisConnection(redis_url))
    waiting = [replays.is_new(f"nonce {number}", 60.0) for number in range(600)]
    await replays.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(answers) == 600
    assert {type(answer) for answer in answers} == {Unavailable}


async def test_too_many_that_wait_are_refused(redis_server: RedisServer, redis_url: str) -> None:
    replays = RedisReplays(RedisConnection(redis_url))
    waiting = [replays.is_new(f"nonce {number}", 60.0) for number in range(10_000)]
    with pytest.raises(Unavailable, match="too slow"):
        replays.is_new("one more", 60.0)
    assert all(await asyncio.gather(*waiting))
    assert await replays.is_new("one more", 60.0)
    await replays.close()
