"""The generic cell rate algorithm (ATM Forum Traffic Management 4.1, 4.4.2; as virtual scheduling). Pure: time is handed in.

The state of a key is one number, its theoretical arrival time: when the bucket will be full again. A request may come as
early as `burst` intervals before that.
"""

import math

from msgspec import Struct

from core.cache import Bound, Rate, Verdict
from core.errors import InvalidInput

ROUNDING = 1e-3  # of an interval: the sums of floats of a long burst must not refuse its last request


class Decision(Struct, frozen=True):
    """The verdict and the state to keep; a refused request leaves the state as it was."""

    verdict: Verdict
    arrival_s: float


def check_rate(rate: Rate) -> None:
    """Raise InvalidInput for a rate that allows nothing or has no meaning."""
    if not (rate.per_s > 0 and math.isfinite(rate.per_s)) or rate.burst < 1:
        raise InvalidInput(f"a rate of {rate.per_s}/s with a burst of {rate.burst}: both must be above 0, and the rate finite")


def rate_bound(rate: Rate) -> Bound:
    """Raises InvalidInput for a rate that has no meaning."""
    check_rate(rate)
    return Bound("rate", rate.burst, 1 / rate.per_s, rate.burst / rate.per_s)


def count_bound(kind: str, count: int) -> Bound:
    """A calendar quota (`day`, `month`) or places under way (`concurrent`). Raises InvalidInput for none."""
    if kind not in ("day", "month", "concurrent") or count < 1:
        raise InvalidInput(f"a limit of {count} ({kind}): it must be above 0")
    return Bound(kind, count)  # type: ignore[arg-type]  # checked above


def decide(arrival_s: float | None, rate: Rate, now_s: float) -> Decision:
    """One request at `now_s` (seconds of any clock that does not run back) against the state of its key, None for a new one."""
    interval = 1 / rate.per_s
    tolerance = rate.burst * interval
    arrival = now_s if arrival_s is None else max(arrival_s, now_s)
    early = arrival + interval - now_s - tolerance
    if early > ROUNDING * interval:
        return Decision(Verdict(False, 0, arrival - now_s, early), arrival)
    arrival += interval
    remaining = math.floor((tolerance - (arrival - now_s)) / interval + ROUNDING)
    return Decision(Verdict(True, max(0, remaining), arrival - now_s, 0.0), arrival)


def room(ahead_s: float, bound: Bound) -> int:
    """How many requests pass now while the bucket is full again in `ahead_s`."""
    return max(0, math.floor((bound.tolerance_s - ahead_s) / bound.interval_s + ROUNDING))
