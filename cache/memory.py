"""The shared cache of a node that stands alone: in process, bounded."""

from collections.abc import Callable, Sequence
from time import monotonic

from cache.app import AppCache
from core.cache import SharedCache
from core.errors import InvalidInput


class MemorySharedCache:
    """See core.cache.SharedCache. Least recently used out first past `max_bytes` or `max_entries`."""

    def __init__(self, *, max_bytes: int = 256 << 20, max_entries: int = 1_000_000, clock: Callable[[], float] = monotonic) -> None:
        self._entries: AppCache[bytes] = AppCache(max_bytes=max_bytes, max_entries=max_entries, clock=clock)

    async def get(self, key: str) -> bytes | None:
        return self._entries.get(key)

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        if ttl_s <= 0:
            raise InvalidInput(f"cache key {key!r}: the time to live is {ttl_s} s, it must be above 0")
        self._entries.set(key, value, size=len(value), ttl_s=ttl_s)

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._entries.delete(key)

    async def check(self) -> None:
        """Memory always answers."""

    async def close(self) -> None:
        self._entries.clear()


_conforms: SharedCache = MemorySharedCache()
