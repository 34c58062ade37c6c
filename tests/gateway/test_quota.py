"""What an app is told of its plan: the amounts that the plan has, as they are, whoever else has been counted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cache.limiter_memory import MemoryLimiter
from config.model import App, Plan, Platform
from core.cache import Answer
from gateway.limits import Bill, plan_amounts, plan_key
from gateway.quota import Quotas

NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
LARGE = Plan(per_s=2.0, burst=10, per_day=20, per_month=30, concurrent=5)


def _quotas(plan: Plan) -> tuple[Quotas, MemoryLimiter]:
    limiter = MemoryLimiter(clock=lambda: 100.0, wall=NOW.timestamp)
    platform = Platform(version=1, plans={"large": plan}, apps={"shop": App(plan="large"), "till": App(plan="large")})
    return Quotas(platform, limiter, now=lambda: NOW), limiter


def _spend(limiter: MemoryLimiter, app: str, plan: Plan, times: int) -> list[Answer]:
    charges = Bill.of([(plan_key(app), plan_amounts("large", plan))]).charges
    return [limiter.decide(charges) for _ in range(times)]


@pytest.mark.req("0.40")
async def test_every_amount_of_the_plan_is_told_and_asking_takes_none() -> None:
    quotas, limiter = _quotas(LARGE)
    _spend(limiter, "shop", LARGE, 4)
    told: Any = None
    for _ in range(50):
        told = msgspec.to_builtins(await quotas.of("shop"))
    assert told == {
        "plan": "large",
        "burst": {"limit": 10, "used": 4, "remaining": 6, "resets_at": "2026-11-25T08:30:02Z"},
        "day": {"limit": 20, "used": 4, "remaining": 16, "resets_at": "2026-11-26T00:00:00Z"},
        "month": {"limit": 30, "used": 4, "remaining": 26, "resets_at": "2026-12-01T00:00:00Z"},
        "concurrent": {"limit": 5, "used": 4, "remaining": 1},
    }


async def test_each_app_is_told_its_own() -> None:
    quotas, limiter = _quotas(LARGE)
    _spend(limiter, "shop", LARGE, 5)
    day = (await quotas.of("till")).day
    assert day is not None
    assert (day.used, day.remaining) == (0, 20)


async def test_what_the_plan_does_not_limit_is_absent() -> None:
    quotas, _ = _quotas(Plan(per_s=1.0, burst=3))
    assert set(msgspec.to_builtins(await quotas.of("shop"))) == {"plan", "burst"}


async def test_a_plan_that_was_made_smaller_than_what_is_used_tells_no_more_than_all() -> None:
    quotas, limiter = _quotas(Plan(per_s=1.0, burst=3, per_day=2))
    _spend(limiter, "shop", Plan(per_s=100.0, burst=100, per_day=50), 7)
    day = (await quotas.of("shop")).day
    assert day is not None
    assert (day.limit, day.used, day.remaining) == (2, 2, 0)
    assert day.resets_at == NOW.replace(hour=0, minute=0) + timedelta(days=1)
