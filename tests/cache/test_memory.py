"""The shared cache in process."""

import pytest

from cache.memory import MemorySharedCache
from core.cache import SharedCache
from tests.conformance.shared_cache_suite import SharedCacheConformance


@pytest.fixture
def cache() -> SharedCache:
    return MemorySharedCache()


class TestMemorySharedCache(SharedCacheConformance):
    pass


async def test_it_is_bounded() -> None:
    cache = MemorySharedCache(max_bytes=10_000, max_entries=1_000)
    for number in range(100):
        await cache.set(str(number), b"x" * 600, ttl_s=60)
    assert await cache.get("0") is None
    assert [await cache.get(str(number)) is not None for number in range(90, 100)] == [True] * 10
