"""The replay store of all nodes, in Redis: one `SET … NX PX` a key over the limiters' kind of link, which never waits for a turn.

Redis must run without eviction (`maxmemory-policy noeviction`, its default): one that evicts would forget too early.
"""

import asyncio
import math
from collections.abc import Awaitable
from functools import partial
from typing import Any

from cache.replays_file import FileReplays
from cache.replays_memory import MemoryReplays, check_ttl
from cache.resp import RedisLink, packed
from core.cache import Replays
from core.errors import PlatformError, Unavailable

PREFIX = b"zhiyun:replay:"


class RedisReplays:
    """See core.cache.Replays. While Redis can't be asked: Unavailable, or the answer of `fallback`, which knows only what this node
    has seen meanwhile."""

    def __init__(
        self, url: str, *, prefix: bytes = PREFIX, fallback: MemoryReplays | FileReplays | None = None, timeout_s: float = 0.5
    ) -> None:
        self._link = RedisLink(url, timeout_s=timeout_s)
        self._prefix = prefix
        self._fallback = fallback

    async def open(self) -> bool:
        """Wait for the first attempt to connect; whether Redis answers. It goes on trying by itself."""
        return await self._link.open()

    def is_new(self, key: str, ttl_s: float) -> bool | Awaitable[bool]:
        check_ttl(ttl_s)
        if not self._link.is_up:
            self._link.wake()
            return self._without_redis(key, ttl_s, self._link.cause)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        name = self._prefix + key.encode(errors="surrogatepass")  # JSON may hold half a surrogate pair
        command = packed(b"SET", name, b"", b"PX", b"%d" % math.ceil(ttl_s * 1000), b"NX")
        self._link.send(command, partial(self._settle, answer, key, ttl_s))
        return answer

    def _settle(self, answer: asyncio.Future[bool], key: str, ttl_s: float, reply: Any) -> None:
        if answer.done():  # the caller has gone
            return
        if reply is None or reply == b"OK":
            answer.set_result(reply is not None)
            return
        try:
            answer.set_result(self._without_redis(key, ttl_s, str(reply)))
        except PlatformError as error:
            answer.set_exception(error)

    def _without_redis(self, key: str, ttl_s: float, cause: str) -> bool:
        if self._fallback is not None:
            return self._fallback.is_new(key, ttl_s)
        raise Unavailable(f"whether a nonce is new can't be told now: {self._link.where}: {cause}")

    async def close(self) -> None:
        await self._link.close()


def _conforms(url: str) -> Replays:
    return RedisReplays(url)
