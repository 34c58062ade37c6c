"""What one node knows of one key that several nodes count, and what it may give away before it has asked again. Pure.

Of the room that is left at the last exchange, each of N nodes gives away its N-th part, or one request where that is less.
"""

import math

from cache.gcra import ROUNDING
from core.cache import Bound


class Share:
    """`own` is what this node has charged since its last message went out, or the places that it holds now; `sent` what is in a
    message without an answer. Times are monotonic seconds."""

    __slots__ = ("_arrival", "_base", "_known", "_period", "bound", "own", "sent", "used_at")

    def __init__(self, bound: Bound, now: float, period: int) -> None:
        self.bound = bound
        self.own = 0
        self.sent = 0
        self.used_at = now
        self._arrival = now  # of a rate, with all that this node has charged
        self._base = 0  # used by all in the period, or held by the others, as the last exchange said
        self._known = 0  # of the places held here, how many the others know of
        self._period = period

    def places(self, now: float, period: int, nodes: int) -> tuple[int, int]:
        """How many would pass as far as this node knows, and how many of them are its own to give."""
        bound = self.bound
        mine = self.own + self.sent
        if bound.kind == "rate":
            ahead = max(0.0, self._arrival - now)
            free = max(0, math.floor((bound.tolerance_s - ahead) / bound.interval_s + ROUNDING))
        elif bound.kind == "concurrent":
            free = max(0, bound.count - self._base - self.own)
            mine = self.own - self._known
        else:
            if period > self._period:
                self._period, self._base, self.own, self.sent = period, 0, 0, 0
                mine = 0
            free = max(0, bound.count - self._base - mine)
        return free, min(free, max(1, (free + max(0, mine)) // nodes) - mine)

    def spend(self, now: float, nodes: int) -> float:
        """`places` and `charge` at once, for a rate: the seconds until its bucket is full again, or -1 where it gives away none."""
        bound = self.bound
        ahead = self._arrival - now
        if ahead < 0:
            ahead = 0.0
        free = int((bound.tolerance_s - ahead) / bound.interval_s + ROUNDING)
        if free < 1:
            return -1.0
        if nodes > 1:
            mine = self.own + self.sent
            if mine and (free + mine) // nodes <= mine:
                return -1.0
        self.own += 1
        self.used_at = now
        ahead += bound.interval_s
        self._arrival = now + ahead
        return ahead

    def charge(self, now: float) -> None:
        self.own += 1
        self.used_at = now
        if self.bound.kind == "rate":
            self._arrival = max(self._arrival, now) + self.bound.interval_s

    def give_back(self) -> None:
        self.own = max(0, self.own - 1)

    def reset_s(self, now: float) -> float:
        return max(0.0, self._arrival - now)

    def message(self, now: float) -> int:
        """What to tell the others, and from now on as sent: of a rate what is not paid off yet, of places all that are held."""
        if self.bound.kind == "concurrent":
            self.sent = self.own
            return self.own
        amount = self.own
        if self.bound.kind == "rate":
            amount = min(amount, math.ceil(self.reset_s(now) / self.bound.interval_s))
        self.sent, self.own = amount, 0
        return amount

    def answered(self, total: int, now: float) -> None:
        """What all have used with what was sent: microseconds ahead, the period's count, or the places of the others."""
        if self.bound.kind == "concurrent":
            self._base, self._known = total, self.sent
            return
        self.sent = 0
        if self.bound.kind == "rate":
            self._arrival = now + total / 1e6 + self.own * self.bound.interval_s
        else:
            self._base = total

    def lost(self) -> None:
        """The message may have come or not: it is sent again, which may count it twice, never not at all."""
        if self.bound.kind != "concurrent":
            self.own += self.sent
            self.sent = 0

    def is_idle(self, now: float, after_s: float) -> bool:
        """Nothing to tell and nothing worth knowing."""
        return not self.own and not self.sent and now - self.used_at > after_s and self._arrival <= now
