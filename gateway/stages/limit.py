"""Limit: the rate of the app's plan (GCRA), told in RateLimit fields (draft-ietf-httpapi-ratelimit-headers).

When the shared limiter can't be asked, this node counts alone: a broken Redis is never answered with a refusal.
"""

import math
from collections.abc import Mapping

from config.model import Plan
from core.cache import Limiter, Rate, Verdict
from core.errors import Limited, Unauthenticated, Unavailable
from gateway.stage import Outcome, Request, Stage


class Limit:
    """`plans` by app name, compiled with the snapshot."""

    name = "limit"

    def __init__(self, plans: Mapping[str, tuple[str, Plan]], limiter: Limiter, fallback: Limiter) -> None:
        self._rates = {
            app: (Rate(per_s=plan.per_s, burst=plan.burst), f'"{name}";q={plan.burst};w={max(1, round(plan.burst / plan.per_s))}')
            for app, (name, plan) in plans.items()
        }
        self._names = {app: name for app, (name, _) in plans.items()}
        self._limiter = limiter
        self._fallback = fallback

    def on_request(self, request: Request) -> Outcome:
        return self._charge(request)

    async def _charge(self, request: Request) -> None:
        if request.identity is None:
            raise Unauthenticated("this request needs a token")
        app = request.identity.app
        rate, policy = self._rates[app]
        verdict = await self._take(f"app:{app}", rate)
        reset = max(0, math.ceil(verdict.reset_s))
        request.tell("RateLimit-Policy", policy)
        request.tell("RateLimit", f'"{self._names[app]}";r={verdict.remaining};t={reset}')
        if not verdict.allowed:
            plan = self._names[app]
            text = f"plan {plan} allows {rate.per_s:g} requests a second, {rate.burst} at once"
            raise Limited(text, retry_after_s=verdict.retry_after_s, code="rate_limited")

    async def _take(self, key: str, rate: Rate) -> Verdict:
        try:
            return await self._limiter.take(key, rate)
        except Unavailable:
            return await self._fallback.take(key, rate)


def _conforms(stage: Limit) -> Stage:
    return stage
