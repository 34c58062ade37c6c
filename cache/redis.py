"""The high-speed cache in Redis, shared by all nodes."""

from collections.abc import Sequence

from cache.redis_connection import RedisConnection
from core.cache import SharedCache
from core.errors import InvalidInput, Unavailable


class RedisSharedCache:
    """See core.cache.SharedCache. Keys get `prefix`, so that several platforms may use one Redis."""

    def __init__(self, connection: RedisConnection, *, prefix: str = "zhiyun:cache:") -> None:
        self._connection = connection
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        try:
            value = await self._connection.call(lambda redis: redis.get(self._prefix + key))
        except Unavailable:
            return None
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        if ttl_s <= 0:
            raise InvalidInput(f"cache key {key!r}: the time to live is {ttl_s} s, it must be above 0")
        lifetime_ms = max(1, round(ttl_s * 1000))
        await self._connection.call(lambda redis: redis.set(self._prefix + key, value, px=lifetime_ms))

    async def delete(self, keys: Sequence[str]) -> None:
        if keys:
            await self._connection.call(lambda redis: redis.unlink(*(self._prefix + key for key in keys)))

    async def check(self) -> None:
        await self._connection.ping()

    async def close(self) -> None:
        await self._connection.close()


def _conforms(connection: RedisConnection) -> SharedCache:
    return RedisSharedCache(connection)
