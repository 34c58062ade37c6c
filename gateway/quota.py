"""What is left of an app's plan, as `GET /usage` tells it. Looks at the limiter and charges nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from config.model import Platform
from core.cache import Limiter
from gateway.limits import Amount, plan_amounts, plan_key

_NAMES = {"rate": "burst", "day": "day", "month": "month", "concurrent": "concurrent"}


class Allowance(Struct, frozen=True, omit_defaults=True):
    """One amount of a plan, named as in GitHub's `GET /rate_limit`. All of it is free again at `resets_at`, to the second; places
    under way have no such time."""

    limit: int
    used: int
    remaining: int
    resets_at: datetime | None = None


class Quota(Struct, frozen=True, omit_defaults=True):
    """What the plan has no limit for is absent. `burst` is what `per_s` fills up again."""

    plan: str
    burst: Allowance | None = None
    day: Allowance | None = None
    month: Allowance | None = None
    concurrent: Allowance | None = None


class Quotas:
    """Of the apps of one snapshot."""

    def __init__(self, platform: Platform, limiter: Limiter, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._platform = platform
        self._limiter = limiter
        self._now = now

    async def of(self, app: str) -> Quota:
        """Raises Unavailable where the count can't be had."""
        name = self._platform.apps[app].plan
        amounts = plan_amounts(name, self._platform.plans[name])
        left = await self._limiter.look([(plan_key(app) + amount.suffix, amount.bound) for amount in amounts])
        now = self._now()
        told = zip(amounts, left, strict=True)
        return Quota(name, **{_NAMES[each.bound.kind]: _allowance(each, *free, now) for each, free in told})


def _allowance(amount: Amount, remaining: int, reset_s: float, now: datetime) -> Allowance:
    limit = amount.bound.count
    remaining = min(max(0, remaining), limit)
    resets = None
    if amount.bound.kind != "concurrent":
        resets = (now + timedelta(seconds=reset_s + 0.5)).replace(microsecond=0)
    return Allowance(limit, limit - remaining, remaining, resets)
