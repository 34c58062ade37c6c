"""The high-speed cache in Redis, shared by all nodes. Over the limiters' kind of link, which costs less than a driver's way of one
command (benchmarks/RESULTS.md, tiers)."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from cache.resp import RedisLink, packed
from core.cache import SharedCache
from core.errors import InvalidInput, PlatformError, Unavailable


class RedisSharedCache:
    """See core.cache.SharedCache. Keys get `prefix`, so that several platforms may use one Redis. While Redis can't be asked,
    nothing waits for it: a `get` is a miss at once, and the link connects again by itself."""

    def __init__(self, url: str, *, prefix: str = "zhiyun:cache:", timeout_s: float = 0.5) -> None:
        self._link = RedisLink(url, timeout_s=timeout_s)
        self._prefix = prefix

    async def open(self) -> bool:
        """Wait for the first attempt to connect; whether Redis answers. It goes on trying by itself."""
        return await self._link.open()

    async def get(self, key: str) -> bytes | None:
        if not self._link.is_up:
            self._link.wake()
            return None
        try:
            value = await self._ask(b"GET", self._key(key))
        except Unavailable:
            return None
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        if ttl_s <= 0:
            raise InvalidInput(f"cache key {key!r}: the time to live is {ttl_s} s, it must be above 0")
        await self._ask(b"SET", self._key(key), value, b"PX", b"%d" % max(1, round(ttl_s * 1000)))

    async def delete(self, keys: Sequence[str]) -> None:
        if keys:
            await self._ask(b"UNLINK", *map(self._key, keys))

    async def check(self) -> None:
        await self._ask(b"PING")

    async def close(self) -> None:
        await self._link.close()

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode(errors="surrogatepass")

    async def _ask(self, *parts: bytes) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._link.send(packed(*parts), partial(_settle, answer))
        reply = await answer
        if isinstance(reply, PlatformError):
            raise reply
        if isinstance(reply, Exception):
            raise Unavailable(f"{self._link.where} refused: {reply}")
        return reply


def _settle(answer: asyncio.Future[Any], reply: Any) -> None:
    if not answer.done():  # else its caller has gone
        answer.set_result(reply)


def _conforms(url: str) -> SharedCache:
    return RedisSharedCache(url)
