"""The shared cache in a real Redis, also when it is killed and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from cache.redis import RedisSharedCache
from cache.redis_connection import RedisConnection
from core.errors import ConfigError, Unavailable
from tests.conformance.shared_cache_suite import SharedCacheConformance
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[RedisSharedCache]:
    cache = RedisSharedCache(RedisConnection(redis_url, timeout_s=5.0, pause_s=0.2))
    yield cache
    await cache.close()


class TestRedisSharedCache(SharedCacheConformance):
    pass


async def test_two_nodes_share_it_and_prefixes_keep_platforms_apart(redis_url: str, cache: RedisSharedCache) -> None:
    node = RedisSharedCache(RedisConnection(redis_url, timeout_s=5.0))
    stranger = RedisSharedCache(RedisConnection(redis_url, timeout_s=5.0), prefix="other:")
    await cache.set("a", b"1", ttl_s=60)
    assert await node.get("a") == b"1"
    assert await stranger.get("a") is None
    await node.close()
    await stranger.close()


async def test_a_dead_redis_is_a_miss_and_is_found_again(redis_server: RedisServer, cache: RedisSharedCache) -> None:
    await cache.set("a", b"1", ttl_s=60)
    redis_server.kill()
    assert await cache.get("a") is None
    with pytest.raises(Unavailable, match=str(redis_server.port)):
        await cache.set("a", b"2", ttl_s=60)
    with pytest.raises(Unavailable, match=str(redis_server.port)):
        await cache.delete(["a"])
    with pytest.raises(Unavailable, match=str(redis_server.port)):
        await cache.check()
    redis_server.start()
    await asyncio.sleep(0.25)
    assert await cache.get("a") is None
    await cache.set("a", b"3", ttl_s=60)
    assert await cache.get("a") == b"3"


async def test_a_dead_redis_is_not_asked_until_a_while_has_passed(redis_server: RedisServer, redis_url: str) -> None:
    cache = RedisSharedCache(RedisConnection(redis_url, timeout_s=5.0, pause_s=600.0))
    await cache.set("a", b"1", ttl_s=60)
    redis_server.kill()
    assert await cache.get("a") is None
    redis_server.start()
    connection = RedisConnection(redis_url, timeout_s=5.0)
    await connection.call(lambda redis: redis.set("zhiyun:cache:a", b"2"))
    assert [await cache.get("a") for _ in range(100)] == [None] * 100
    await cache.check()  # asks in spite of the breaker, and closes it
    assert await cache.get("a") == b"2"
    await connection.close()
    await cache.close()


async def test_a_redis_that_hangs_costs_one_timeout(redis_server: RedisServer, redis_url: str) -> None:
    cache = RedisSharedCache(RedisConnection(redis_url, timeout_s=1.0, pause_s=600.0))
    await cache.set("a", b"1", ttl_s=60)
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):  # a hundred would be as many seconds
            assert [await cache.get("a") for _ in range(100)] == [None] * 100
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await cache.check()  # asks in spite of the breaker, and closes it
    assert await cache.get("a") == b"1"
    await cache.close()


async def test_a_refusal_is_told_and_does_not_open_the_breaker(redis_url: str, cache: RedisSharedCache) -> None:
    connection = RedisConnection(redis_url, timeout_s=5.0, pause_s=5.0)
    await connection.call(lambda redis: redis.set("text", "x"))
    with pytest.raises(Unavailable, match="refused"):
        await connection.call(lambda redis: redis.incr("text"))
    assert await connection.call(lambda redis: redis.get("text")) == b"x"
    await connection.close()


async def test_a_restart_between_two_calls_is_not_seen(redis_server: RedisServer, cache: RedisSharedCache) -> None:
    await cache.set("a", b"1", ttl_s=60)
    redis_server.kill()
    redis_server.start()
    await cache.set("a", b"2", ttl_s=60)
    assert await cache.get("a") == b"2"


def test_a_wrong_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="redis://host") as caught:
        RedisConnection("http://:s3cret@cache:6379")
    assert "s3cret" not in caught.value.detail
