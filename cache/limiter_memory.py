"""The limiter of a node that stands alone, or whose Redis is down: states in bounded tables, decided without waiting."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from cache.gcra import ROUNDING, rate_bound, room
from cache.periods import Periods
from core.cache import Answer, Bound, Charge, Held, Limiter, Rate, Verdict

_LOOKED_AT = 4  # old keys for each new one, so that a full table shrinks to its live keys

Counts = dict[str, tuple[int, int, bool]]
"""Key → period, count, and whether the period is a month."""


class MemoryLimiter:
    """See core.cache.Limiter. Past `max_keys` keys of one sort, of a few old ones the one whose bucket is nearest to full is
    forgotten. `dirty` counts changes of calendar quotas; `counts` and `restore` let them outlive the process."""

    def __init__(
        self,
        *,
        max_keys: int = 200_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._wall = wall
        self._arrivals: dict[str, float] = {}  # in the order in which they were last looked at for room
        self._counts: Counts = {}
        self._under_way: dict[str, int] = {}  # bounded by the requests under way
        self._periods = Periods()
        self.dirty = 0

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._counts) + len(self._under_way)

    def decide(self, charges: Sequence[Charge]) -> Answer:
        """One rate alone, the plan of an app, is the most usual case by far: `cache.gcra.decide` written out."""
        key, bound = charges[0]
        interval = bound.interval_s
        if not interval or len(charges) > 1:
            return self._several(charges)
        now = self._clock()
        arrival = self._arrivals.get(key)
        if arrival is None:
            self._make_room(now)
            arrival = now
        elif arrival < now:
            arrival = now
        ahead = arrival - now + interval
        tolerance = bound.tolerance_s
        over = ahead - tolerance
        if over > ROUNDING * interval:
            return Answer(0, over, ((0, ahead - interval),))
        self._arrivals[key] = now + ahead
        return Answer(-1, 0.0, ((int((tolerance - ahead) / interval + ROUNDING), ahead),))

    def take(self, key: str, rate: Rate) -> Verdict:
        """One request against one rate, at once."""
        answer = self.decide(((key, rate_bound(rate)),))
        remaining, reset_s = answer.left[0]
        return Verdict(answer.refused < 0, remaining, reset_s, answer.retry_after_s)

    def _several(self, charges: Sequence[Charge]) -> Answer:
        """All are looked at before any is charged."""
        now = self._clock()
        left: list[tuple[int, float]] = []
        refused, retry_s = -1, 0.0
        for number, (key, bound) in enumerate(charges):
            places, reset_s, wait_s = self._look(key, bound, now)
            left.append((places, reset_s))
            if wait_s > 0:
                refused = number if refused < 0 else refused
                retry_s = max(retry_s, wait_s)
        if refused >= 0:
            return Answer(refused, retry_s, tuple(left))
        held = [key for key, bound in charges if self._commit(key, bound, now)]
        after = ((places - 1, reset_s + bound.interval_s) for (places, reset_s), (_, bound) in zip(left, charges, strict=True))
        return Answer(-1, 0.0, tuple(after), Held(self, tuple(held)) if held else None)

    def _look(self, key: str, bound: Bound, now: float) -> tuple[int, float, float]:
        """How many would pass, when all is free again, and how long to wait where none passes (0: one passes)."""
        if bound.kind == "rate":
            ahead = max(0.0, self._arrivals.get(key, now) - now)
            places = room(ahead, bound)
            return places, ahead, 0.0 if places else max(ahead + bound.interval_s - bound.tolerance_s, 1e-9)
        if bound.kind == "concurrent":
            places = max(0, bound.count - self._under_way.get(key, 0))
            return places, 0.0, 0.0 if places else 1.0
        wall = self._wall()
        period, ends = self._periods.at(wall).of(bound.kind)
        counted = self._counts.get(key)
        used = counted[1] if counted is not None and counted[0] >= period else 0
        places = max(0, bound.count - used)
        return places, max(0.0, ends - wall), 0.0 if places else max(ends - wall, 1.0)

    def _commit(self, key: str, bound: Bound, now: float) -> bool:
        """Charge one; whether it has to be given back."""
        if bound.kind == "rate":
            if key not in self._arrivals:
                self._make_room(now)
            self._arrivals[key] = max(self._arrivals.get(key, now), now) + bound.interval_s
            return False
        if bound.kind == "concurrent":
            self._under_way[key] = self._under_way.get(key, 0) + 1
            return True
        self._count(key, bound.kind)
        return False

    def _count(self, key: str, kind: Literal["day", "month"]) -> None:
        period, _ = self._periods.of(kind)
        counted = self._counts.get(key)
        if counted is None and len(self._counts) >= self._max_keys:
            self._drop_a_count()
        newer = counted is not None and counted[0] >= period
        self._counts[key] = (counted[0], counted[1] + 1, kind == "month") if newer and counted else (period, 1, kind == "month")
        self.dirty += 1

    def _make_room(self, now: float) -> None:
        """Forget old keys whose bucket is full again; the others of those looked at go to the end. Where all are live in a full
        table, the one that loses least by it."""
        arrivals = self._arrivals
        looked_at: list[tuple[float, str]] = []
        for _ in range(min(_LOOKED_AT, len(arrivals))):
            key = next(iter(arrivals))
            arrival = arrivals.pop(key)
            if arrival > now:
                arrivals[key] = arrival
                looked_at.append((arrival, key))
        if len(arrivals) >= self._max_keys and looked_at:
            arrivals.pop(min(looked_at)[1], None)

    def _drop_a_count(self) -> None:
        """Counts of days that are over first, then the smallest of a few old ones."""
        oldest = [key for key, _ in zip(self._counts, range(_LOOKED_AT), strict=False)]
        over = [key for key in oldest if not self._is_now(self._counts[key])]
        for key in oldest:
            self._counts[key] = self._counts.pop(key)
        for key in over or [min(oldest, key=lambda key: self._counts[key][1])]:
            del self._counts[key]

    def _is_now(self, counted: tuple[int, int, bool]) -> bool:
        return counted[0] >= (self._periods.month if counted[2] else self._periods.day)

    def give_back(self, held: Held) -> None:
        for key in held.keys:
            left = self._under_way.get(key, 0) - 1
            if left > 0:
                self._under_way[key] = left
            else:
                self._under_way.pop(key, None)

    def counts(self) -> Counts:
        """The calendar quotas used up to now, without those of periods that are over."""
        self._periods.at(self._wall())
        return {key: counted for key, counted in self._counts.items() if self._is_now(counted)}

    def restore(self, counts: Mapping[str, tuple[int, int, bool]]) -> None:
        """Take up counts of an earlier process; the larger count of a key stays."""
        self._periods.at(self._wall())
        for key, counted in counts.items():
            if self._is_now(counted) and counted[:2] > self._counts.get(key, (0, 0, False))[:2]:
                self._counts[key] = counted

    async def close(self) -> None:
        """Its counts stay readable: they are saved last."""


_conforms: Limiter = MemoryLimiter()
