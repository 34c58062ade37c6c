"""What every shared cache must do (core.cache), to be run unchanged against each: sub-class `SharedCacheConformance`."""

import asyncio

import pytest

from core.cache import SharedCache
from core.errors import InvalidInput


class SharedCacheConformance:
    """The sub-class's module has a fixture `cache`: an empty one."""

    async def test_bytes_come_back_as_they_were(self, cache: SharedCache) -> None:
        await cache.set("键", bytes(range(256)), ttl_s=60)
        await cache.set("empty", b"", ttl_s=60)
        assert await cache.get("键") == bytes(range(256))
        assert await cache.get("empty") == b""

    async def test_an_unknown_key_is_none(self, cache: SharedCache) -> None:
        assert await cache.get("nothing") is None

    async def test_a_value_is_replaced(self, cache: SharedCache) -> None:
        await cache.set("a", b"1", ttl_s=60)
        await cache.set("a", b"2", ttl_s=60)
        assert await cache.get("a") == b"2"

    async def test_it_vanishes_after_its_time(self, cache: SharedCache) -> None:
        await cache.set("short", b"1", ttl_s=1.5)
        await cache.set("long", b"2", ttl_s=60)
        assert await cache.get("short") == b"1"
        await asyncio.sleep(1.6)
        assert await cache.get("short") is None
        assert await cache.get("long") == b"2"

    @pytest.mark.parametrize("ttl_s", [0, -1.0])
    async def test_a_time_to_live_must_be_positive(self, cache: SharedCache, ttl_s: float) -> None:
        with pytest.raises(InvalidInput, match="time to live"):
            await cache.set("a", b"1", ttl_s=ttl_s)

    async def test_delete_forgets_these_and_ignores_unknown_ones(self, cache: SharedCache) -> None:
        for key in ("a", "b", "c"):
            await cache.set(key, key.encode(), ttl_s=60)
        await cache.delete(["a", "c", "never"])
        await cache.delete([])
        assert [await cache.get(key) for key in ("a", "b", "c")] == [None, b"b", None]

    async def test_many_at_once(self, cache: SharedCache) -> None:
        await asyncio.gather(*(cache.set(str(number), str(number).encode(), ttl_s=60) for number in range(200)))
        values = await asyncio.gather(*(cache.get(str(number)) for number in range(200)))
        assert values == [str(number).encode() for number in range(200)]

    async def test_check_is_quiet_when_it_answers(self, cache: SharedCache) -> None:
        await cache.check()

    async def test_close_twice(self, cache: SharedCache) -> None:
        await cache.close()
        await cache.close()
