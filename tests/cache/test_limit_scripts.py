"""The scripts' calendar against Python's, in a real Redis."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from cache import limit_scripts
from cache.periods import Periods

pytestmark = pytest.mark.servers

_NOW = "local time = redis.call('TIME')\nlocal seconds, now = tonumber(time[1]), time[1] * 1000000 + time[2]\n"


async def test_days_and_months_end_when_they_do_here(redis_url: str) -> None:
    assert _NOW in limit_scripts.DECIDE
    functions = limit_scripts._TIME.replace(_NOW, "local seconds, now = tonumber(ARGV[1]), ARGV[1] * 1000000\n")
    script = functions + "return {period_end('d'), period_end('m')}"
    begin = datetime(2023, 12, 1, 12, tzinfo=UTC)
    moments = [int((begin + timedelta(days=day)).timestamp()) for day in range(0, 1_900, 3)]
    moments += [int(datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp()), int(datetime(2100, 2, 28, tzinfo=UTC).timestamp())]
    connection = Redis.from_url(redis_url)
    for moment in moments:
        periods = Periods().at(moment)
        found = await connection.eval(script, 0, str(moment))
        assert found == [periods.of("day")[1], periods.of("month")[1]], moment
    await connection.aclose()
