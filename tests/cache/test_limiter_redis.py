"""The limiter in a real Redis: exact over nodes, and honest when Redis is down."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cache.limiter_redis import RedisLimiter
from cache.redis_connection import RedisConnection
from core.cache import Rate
from core.errors import Unavailable
from tests.conformance.limiter_suite import LimiterConformance
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def limiter(redis_url: str) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(RedisConnection(redis_url, pause_s=0.2))
    yield limiter
    await limiter.close()


class TestRedisLimiter(LimiterConformance):
    pass


async def test_several_nodes_together_pass_exactly_the_burst(redis_url: str) -> None:
    nodes = [RedisLimiter(RedisConnection(redis_url)) for _ in range(4)]
    verdicts = await asyncio.gather(*(node.take("app", Rate(0.01, 37)) for _ in range(25) for node in nodes))
    assert sum(verdict.allowed for verdict in verdicts) == 37
    for node in nodes:
        await node.close()


async def test_down_is_unavailable_and_a_restarted_redis_counts_again(redis_server: RedisServer, limiter: RedisLimiter) -> None:
    assert (await limiter.take("app", Rate(1.0, 1))).allowed
    redis_server.kill()
    for _ in range(3):
        with pytest.raises(Unavailable, match=str(redis_server.port)):
            await limiter.take("app", Rate(1.0, 1))
    redis_server.start()
    await asyncio.sleep(0.25)
    assert (await limiter.take("app", Rate(1.0, 1))).allowed  # its script and its counts are gone with it


async def test_a_key_leaves_redis_when_its_bucket_is_full(redis_url: str, limiter: RedisLimiter) -> None:
    connection = RedisConnection(redis_url)
    await limiter.take("app", Rate(20.0, 2))
    assert await connection.call(lambda redis: redis.dbsize()) == 1
    await asyncio.sleep(0.15)
    assert await connection.call(lambda redis: redis.dbsize()) == 0
    await connection.close()


async def test_a_large_burst_is_counted_to_the_last(limiter: RedisLimiter) -> None:
    rate = Rate(7.0e-3, 2_000)
    verdicts = [await limiter.take("app", rate) for _ in range(2_001)]
    assert sum(verdict.allowed for verdict in verdicts) == 2_000
    assert verdicts[1_999].remaining == 0
