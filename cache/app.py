"""The app cache: the tier in the worker's own memory, bounded in bytes and entries. Synchronous, for one event loop."""

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
_ENTRY_BYTES = 400  # what an entry costs besides its value: key, tuple, places in two or three tables


class AppCache(Generic[T]):
    """Least recently used out first; an entry past its time to live is a miss.

    An entry may carry tags (a dataset, say); dropping a tag drops its entries. Not for several threads.
    """

    def __init__(self, *, max_bytes: int, max_entries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._clock = clock
        # A dict keeps the order of insertion: what is read is put at the end again, so the oldest is first.
        self._entries: dict[Hashable, tuple[T, float, int, tuple[str, ...]]] = {}
        self._tags: dict[str, set[Hashable]] = {}
        self._bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    @property
    def bytes(self) -> int:
        """The estimated size of all entries."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> T | None:
        """The value, or None when there is none that is fresh."""
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        if entry[1] <= self._clock():
            self.delete(key)
            self.misses += 1
            return None
        del self._entries[key]
        self._entries[key] = entry
        self.hits += 1
        return entry[0]

    def set(self, key: Hashable, value: T, *, size: int, ttl_s: float, tags: Iterable[str] = ()) -> bool:
        """Store `value`, which takes `size` bytes, for `ttl_s` seconds; whether it was: one too large for the cache isn't."""
        self.delete(key)
        cost = size + _ENTRY_BYTES
        if cost > self._max_bytes or ttl_s <= 0 or self._max_entries < 1:
            return False
        labels = tuple(tags)
        self._entries[key] = (value, self._clock() + ttl_s, cost, labels)
        for tag in labels:
            self._tags.setdefault(tag, set()).add(key)
        self._bytes += cost
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self.delete(next(iter(self._entries)))
            self.evictions += 1
        return True

    def delete(self, key: Hashable) -> None:
        """Forget a key; an unknown one is ignored."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry[2]
        for tag in entry[3]:
            keys = self._tags.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._tags[tag]

    def drop_tag(self, tag: str, *, where: Callable[[tuple[str, ...]], bool] | None = None) -> int:
        """Forget every entry that carries the tag, and with `where` only those of whose tags it says so; how many."""
        keys = tuple(key for key in self._tags.get(tag, ()) if where is None or where(self._entries[key][3]))
        for key in keys:
            self.delete(key)
        return len(keys)

    def clear(self) -> None:
        """Forget everything; the counters go on."""
        self._entries.clear()
        self._tags.clear()
        self._bytes = 0
