"""The limiter of a node that stands alone, or whose Redis is down: GCRA states in a bounded table."""

import time
from collections.abc import Callable

from cache.gcra import check_rate, decide
from core.cache import Limiter, Rate, Verdict

_SWEPT_PER_CALL = 2  # more than one new key a call, so that the table shrinks to its live keys


class MemoryLimiter:
    """See core.cache.Limiter. Past `max_keys` the key that was charged longest ago is forgotten, as if its bucket were full."""

    def __init__(self, *, max_keys: int = 1_000_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._arrivals: dict[str, float] = {}  # by last charge, oldest first

    def __len__(self) -> int:
        return len(self._arrivals)

    async def take(self, key: str, rate: Rate) -> Verdict:
        check_rate(rate)
        now = self._clock()
        decision = decide(self._arrivals.get(key), rate, now)
        if decision.verdict.allowed:
            self._arrivals.pop(key, None)
            self._arrivals[key] = decision.arrival_s
        self._sweep(now)
        return decision.verdict

    def _sweep(self, now: float) -> None:
        for _ in range(_SWEPT_PER_CALL):
            oldest = next(iter(self._arrivals), None)
            if oldest is None or (self._arrivals[oldest] > now and len(self._arrivals) <= self._max_keys):
                return
            del self._arrivals[oldest]

    async def close(self) -> None:
        self._arrivals.clear()


_conforms: Limiter = MemoryLimiter()
