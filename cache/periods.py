"""Calendar days and months in UTC: which one it is, and when it ends. Pure, and asked for each request: kept until midnight."""

import time
from calendar import timegm
from typing import Literal

DAY_S = 86_400


class Periods:
    """`at` brings it to a moment (epoch seconds); a clock that ran back stays in the day it was in, so that no quota is fresh
    twice."""

    __slots__ = ("day", "day_ends", "month", "month_ends")

    def __init__(self) -> None:
        self.day = 0  # days since 1970
        self.month = 0  # months since 1970
        self.day_ends = 0.0  # epoch seconds
        self.month_ends = 0.0

    def at(self, now: float) -> "Periods":
        if now >= self.day_ends:
            self._turn(now)
        return self

    def of(self, kind: Literal["day", "month"]) -> tuple[int, float]:
        """The number of the period and when it ends."""
        return (self.day, self.day_ends) if kind == "day" else (self.month, self.month_ends)

    def _turn(self, now: float) -> None:
        date = time.gmtime(now)
        self.day = int(now // DAY_S)
        self.day_ends = float((self.day + 1) * DAY_S)
        self.month = (date.tm_year - 1970) * 12 + date.tm_mon - 1
        self.month_ends = float(timegm((1970 + (self.month + 1) // 12, (self.month + 1) % 12 + 1, 1, 0, 0, 0)))
