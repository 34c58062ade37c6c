"""Sense of limits that a type can't judge: one that limits nothing, a rate without a burst, dimensions that never differ. Pure."""

from collections.abc import Iterator, Sequence

from config.policies import Limit
from config.problem import Path, Problem

_AMOUNTS = ("per_s", "concurrent", "per_day", "per_month")


def limit_problems(limits: Sequence[Limit], path: Path, *, anonymous: bool = False) -> Iterator[Problem]:
    """`path` is that of the list; `anonymous` for a route that asks nobody who they are."""
    for index, limit in enumerate(limits):
        at = (*path, str(index))
        yield from _amount_problems(limit, at)
        yield from _dimension_problems(limit, at, anonymous)
        if limit in limits[:index]:
            yield Problem(at, "is the same as an earlier one; remove it")


def _amount_problems(limit: Limit, at: Path) -> Iterator[Problem]:
    if all(getattr(limit, name) is None for name in _AMOUNTS):
        yield Problem(at, f"limits nothing; give one of {', '.join(_AMOUNTS)}")
    if limit.per_s is not None and limit.burst is None:
        yield Problem((*at, "burst"), "required beside per_s: how many requests may come at once")
    if limit.burst is not None and limit.per_s is None:
        yield Problem((*at, "per_s"), "required beside burst: how many requests a second are allowed in the long run")
    if limit.per_day is not None and limit.per_month is not None and limit.per_month < limit.per_day:
        yield Problem((*at, "per_month"), f"{limit.per_month} a month is less than {limit.per_day} a day, which can't be reached")


def _dimension_problems(limit: Limit, at: Path, anonymous: bool) -> Iterator[Problem]:
    repeated = sorted({each for each in limit.per if limit.per.count(each) > 1})
    if repeated:
        yield Problem((*at, "per"), f"names {', '.join(repeated)} twice")
    if "app" in limit.per and "plan" in limit.per:
        yield Problem((*at, "per"), "an app has one plan: per app and plan is the same as per app; remove plan")
    unknown = [each for each in limit.per if each in ("app", "plan", "device", "user")]
    if anonymous and unknown:
        text = f"an anonymous route does not know its callers' {', '.join(unknown)}; count per address or route"
        yield Problem((*at, "per"), text)
