"""The shared cache in a real Redis, also when it is killed and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cache.redis import RedisSharedCache
from core.errors import ConfigError, Unavailable
from tests.conformance.shared_cache_suite import SharedCacheConformance
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[RedisSharedCache]:
    cache = RedisSharedCache(redis_url, timeout_s=5.0)
    assert await cache.open()
    yield cache
    await cache.close()


class TestRedisSharedCache(SharedCacheConformance):
    pass


async def _is_found_again(cache: RedisSharedCache) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            return await cache.check()
        except Unavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)


async def test_two_nodes_share_it_and_prefixes_keep_platforms_apart(redis_url: str, cache: RedisSharedCache) -> None:
    node = RedisSharedCache(redis_url, timeout_s=5.0)
    stranger = RedisSharedCache(redis_url, prefix="other:", timeout_s=5.0)
    assert await node.open()
    assert await stranger.open()
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
    await _is_found_again(cache)
    assert await cache.get("a") is None
    await cache.set("a", b"3", ttl_s=60)
    assert await cache.get("a") == b"3"


async def test_one_that_was_never_there_costs_no_wait_and_is_taken_when_it_comes(redis_server: RedisServer, redis_url: str) -> None:
    redis_server.kill()
    cache = RedisSharedCache(redis_url, timeout_s=5.0)
    assert not await cache.open()
    assert [await cache.get("a") for _ in range(100)] == [None] * 100
    redis_server.start()
    await _is_found_again(cache)
    await cache.set("a", b"1", ttl_s=60)
    assert await cache.get("a") == b"1"
    await cache.close()


async def test_a_redis_that_hangs_costs_one_timeout(redis_server: RedisServer, redis_url: str) -> None:
    cache = RedisSharedCache(redis_url, timeout_s=1.0)
    assert await cache.open()
    await cache.set("a", b"1", ttl_s=60)
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):  # a hundred would be as many seconds
            assert [await cache.get("a") for _ in range(100)] == [None] * 100
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await _is_found_again(cache)
    assert await cache.get("a") == b"1"
    await cache.close()


async def test_a_refusal_is_told_and_the_link_goes_on(redis_url: str, cache: RedisSharedCache) -> None:
    async with Redis.from_url(redis_url) as driver:
        await driver.lpush("zhiyun:cache:list", "x")
        assert await cache.get("list") is None, "what is no value of ours is a miss"
        await driver.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unavailable, match="refused: OOM"):
                await cache.set("a", b"1", ttl_s=60)
        finally:
            await driver.config_set("maxmemory", "0")
    await cache.set("a", b"1", ttl_s=60)
    assert await cache.get("a") == b"1"


async def test_a_caller_that_gave_up_leaves_the_answers_of_others_in_order(cache: RedisSharedCache) -> None:
    await asyncio.gather(*(cache.set(str(number), str(number).encode(), ttl_s=60) for number in range(50)))
    reads = [asyncio.create_task(cache.get(str(number))) for number in range(50)]
    await asyncio.sleep(0)
    for read in reads[::2]:
        read.cancel()
    assert await asyncio.gather(*reads[1::2]) == [str(number).encode() for number in range(1, 50, 2)]


def test_a_wrong_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="the URL of Redis must look like") as caught:
        RedisSharedCache("http://user:s3cret@host:6379/0")
    assert "s3cret" not in str(caught.value)
