"""Counters of one gateway process: requests, failures, and latencies of the last full second. Fixed memory."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

EDGES_MS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000, 2000, 5000, 30_000)


class Traffic:
    """Fed by `observe` one answer at a time, or by `absorb` with what a recorder has counted; `gather` makes that happen before a
    window is read."""

    def __init__(self, gather: Callable[[], object] | None = None) -> None:
        self.requests = 0
        self.errors = 0
        self._counts = [0] * (len(EDGES_MS) + 1)
        self._gather = gather

    def observe(self, status: int, seconds: float) -> None:
        self.requests += 1
        if status >= 500:
            self.errors += 1
        self._counts[bisect_left(EDGES_MS, seconds * 1000)] += 1

    def absorb(self, counts: Sequence[int], errors: int) -> None:
        """`counts`: answers by latency, one more than there are edges."""
        self.requests += sum(counts)
        self.errors += errors
        self._counts = [mine + more for mine, more in zip(self._counts, counts, strict=True)]

    def window(self, elapsed_s: float) -> tuple[float, float, float]:
        """Requests a second, p50 and p99 in ms since the last call (a quantile is its bucket's upper edge)."""
        if self._gather is not None:
            self._gather()
        counts, self._counts = self._counts, [0] * len(self._counts)
        total = sum(counts)
        return (total / elapsed_s if elapsed_s > 0 else 0.0, _quantile(counts, total, 0.50), _quantile(counts, total, 0.99))


def _quantile(counts: list[int], total: int, share: float) -> float:
    reached = 0
    for position, count in enumerate(counts):
        reached += count
        if count and reached >= share * total:
            return float(EDGES_MS[min(position, len(EDGES_MS) - 1)])
    return 0.0
