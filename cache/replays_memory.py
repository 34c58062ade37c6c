"""The replay store of one process: bounded, and it never forgets too early."""

import heapq
import math
import time
from collections.abc import Callable

from core.cache import Replays
from core.errors import InvalidInput, Limited

_LONGEST_TTL_S = 86_400


class MemoryReplays:
    """See core.cache.Replays. At `max_entries` it refuses (Limited, replays_full) until the oldest are due: forgetting one early
    would let it come twice.

    A key is kept as its 64-bit hash, about 80 bytes in all instead of 250. The hash is keyed anew in each process; two keys with
    one hash (once in 10¹³ at a million entries) mean that a proof is refused as if it had come before, never that one passes.
    Keys are forgotten by the second in which they end, up to a second late.
    """

    def __init__(self, *, max_entries: int = 1_000_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._known: set[int] = set()
        self._ending: dict[int, list[int]] = {}  # the second at which keys end → those keys
        self._seconds: list[int] = []  # heap of the keys of `_ending`

    def __len__(self) -> int:
        return len(self._known)

    def is_new(self, key: str, ttl_s: float) -> bool:
        check_ttl(ttl_s)
        now = self._clock()
        if self._seconds and self._seconds[0] <= now:
            self._forget(now)
        entry = hash(key)
        if entry in self._known:
            return False
        if len(self._known) >= self._max_entries:
            raise Limited(
                f"{self._max_entries} nonces are remembered and none may be forgotten yet; try again soon",
                retry_after_s=self._seconds[0] - now,
                code="replays_full",
            )
        self._known.add(entry)
        second = math.ceil(now + ttl_s)
        if second in self._ending:
            self._ending[second].append(entry)
        else:
            self._ending[second] = [entry]
            heapq.heappush(self._seconds, second)
        return True

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0] <= now:
            self._known.difference_update(self._ending.pop(heapq.heappop(self._seconds)))


def check_ttl(ttl_s: float) -> None:
    """Raises InvalidInput for a time that means nothing, or more than a day."""
    if not 0 < ttl_s <= _LONGEST_TTL_S:
        raise InvalidInput(f"a nonce can be remembered for more than 0 and at most {_LONGEST_TTL_S} s, not for {ttl_s}")


_conforms: Replays = MemoryReplays()
