"""The limiter of a node that stands alone, or whose Redis is down: states in bounded tables, decided without waiting."""

import time
from collections.abc import Callable, Mapping, Sequence

from cache.gcra import ROUNDING, rate_bound
from cache.periods import Periods
from core.cache import NO_PLACE, Answer, Bound, Charge, Held, Left, Limiter, Rate, Verdict

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
        if len(charges) > 1 or not charges[0][1].interval_s:
            return self._several(charges)
        key, bound = charges[0]
        ahead = self.spend(key, bound.interval_s, bound.tolerance_s)
        if ahead < 0:
            return Answer(0, -ahead, ((0, bound.tolerance_s - bound.interval_s - ahead),))
        return Answer(-1, 0.0, ((int((bound.tolerance_s - ahead) / bound.interval_s + ROUNDING), ahead),))

    def spend(self, key: str, interval_s: float, tolerance_s: float) -> float:
        """One request against one rate, the plan of an app alone: `cache.gcra.decide` written out for the most usual case by far.
        The seconds until the bucket is full again, or below 0 the seconds to wait."""
        now = self._clock()
        arrival = self._arrivals.get(key)
        if arrival is None:
            self._make_room(now)
            at = now + interval_s
        else:
            at = arrival
            if at < now:
                at = now + interval_s
            else:
                at += interval_s
                over = at - now - tolerance_s
                if over > ROUNDING * interval_s:
                    return -over
        self._arrivals[key] = at
        return at - now

    def take(self, key: str, rate: Rate) -> Verdict:
        """One request against one rate, at once."""
        answer = self.decide(((key, rate_bound(rate)),))
        remaining, reset_s = answer.left[0]
        return Verdict(answer.refused < 0, remaining, reset_s, answer.retry_after_s)

    async def look(self, charges: Sequence[Charge]) -> Left:
        return self._several((*charges, NO_PLACE)).left[:-1]

    def _several(self, charges: Sequence[Charge]) -> Answer:
        """All are looked at before any is charged. `left` is told as it is after the charge, or without it where one refuses."""
        now, wall = self._clock(), 0.0
        left: list[tuple[int, float]] = []
        refused, retry_s = -1, 0.0
        for key, bound in charges:
            if bound.interval_s:
                ahead = max(0.0, self._arrivals.get(key, now) - now)
                places, reset_s = int((bound.tolerance_s - ahead) / bound.interval_s + ROUNDING), ahead
                wait_s = ahead + bound.interval_s - bound.tolerance_s
            elif bound.kind == "concurrent":
                places, reset_s, wait_s = bound.count - self._under_way.get(key, 0), 0.0, 1.0
            else:
                wall = wall or self._wall()
                places, reset_s = self._quota(key, bound, wall)
                wait_s = max(reset_s, 1.0)
            if places < 1:
                places = 0
                refused = len(left) if refused < 0 else refused
                retry_s = max(retry_s, wait_s)
            left.append((places, reset_s))
        if refused >= 0:
            return Answer(refused, retry_s, tuple(left))
        held = self._commit(charges, left, now)
        return Answer(-1, 0.0, tuple(left), Held(self, held) if held else None)

    def _quota(self, key: str, bound: Bound, wall: float) -> tuple[int, float]:
        """How many are left of the day or the month, and when it ends."""
        periods = self._periods
        if wall >= periods.day_ends:
            periods.at(wall)
        is_day = bound.kind == "day"
        counted = self._counts.get(key)
        used = counted[1] if counted is not None and counted[0] >= (periods.day if is_day else periods.month) else 0
        return bound.count - used, max(0.0, (periods.day_ends if is_day else periods.month_ends) - wall)

    def _commit(self, charges: Sequence[Charge], left: list[tuple[int, float]], now: float) -> tuple[str, ...]:
        """Charge one of each; which of them have to be given back."""
        held: tuple[str, ...] = ()
        for number, (key, bound) in enumerate(charges):
            places, reset_s = left[number]
            if bound.interval_s:
                if key not in self._arrivals:
                    self._make_room(now)
                reset_s += bound.interval_s
                self._arrivals[key] = now + reset_s
            elif bound.kind == "concurrent":
                self._under_way[key] = self._under_way.get(key, 0) + 1
                held += (key,)
            else:
                self._count(key, bound.kind == "month")
            left[number] = (places - 1, reset_s)
        return held

    def _count(self, key: str, is_month: bool) -> None:
        period = self._periods.month if is_month else self._periods.day
        counted = self._counts.get(key)
        if counted is not None and counted[0] >= period:
            self._counts[key] = (counted[0], counted[1] + 1, is_month)
        else:
            if counted is None and len(self._counts) >= self._max_keys:
                self._drop_a_count()
            self._counts[key] = (period, 1, is_month)
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
        """The calendar quotas used up to now: a copy, which another thread may write down."""
        return dict(self._counts)

    def restore(self, counts: Mapping[str, tuple[int, int, bool]]) -> None:
        """Take up counts of an earlier process; the larger count of a key stays."""
        self._periods.at(self._wall())
        for key, counted in counts.items():
            if self._is_now(counted) and counted[:2] > self._counts.get(key, (0, 0, False))[:2]:
                self._counts[key] = counted

    async def close(self) -> None:
        """Its counts stay readable: they are saved last."""


_conforms: Limiter = MemoryLimiter()
