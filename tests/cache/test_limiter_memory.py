"""The limiter in process."""

import pytest

from cache.limiter_memory import MemoryLimiter
from core.cache import Limiter, Rate
from tests.conformance.limiter_suite import LimiterConformance


@pytest.fixture
def limiter() -> Limiter:
    return MemoryLimiter()


class TestMemoryLimiter(LimiterConformance):
    pass


async def test_keys_whose_bucket_is_full_again_are_forgotten() -> None:
    now = 0.0
    limiter = MemoryLimiter(clock=lambda: now)
    for number in range(1_000):
        await limiter.take(f"ip {number}", Rate(10.0, 5))
    assert len(limiter) == 1_000
    now = 10.0
    for _ in range(600):
        await limiter.take("one", Rate(100.0, 10))
    assert len(limiter) < 10


async def test_the_table_is_bounded() -> None:
    limiter = MemoryLimiter(max_keys=100, clock=lambda: 0.0)
    for number in range(1_000):
        await limiter.take(f"ip {number}", Rate(0.001, 5))
        assert len(limiter) <= 100
