"""The limiter in Redis: cache.gcra as a script on Redis's own clock, so that the count is exact over all nodes."""

import hashlib
from typing import TYPE_CHECKING

from cache.gcra import check_rate
from cache.redis_connection import RedisConnection
from core.cache import Limiter, Rate, Verdict

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Times in microseconds. The arrival is kept as whole microseconds and a fraction, and reckoned relative to now: as one double
# since 1970 it would be a quarter of a microsecond coarse, which adds up over a large burst at a high rate.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = 1000000 / tonumber(ARGV[1])
local tolerance = tonumber(ARGV[2]) * interval
local ahead = 0
local state = redis.call('GET', KEYS[1])
if state then
  local whole, fraction = string.match(state, '^(%d+):(.+)$')
  ahead = math.max(whole - now + fraction, 0)
end
local early = ahead + interval - tolerance
if early > interval * 1e-3 then
  return {0, 0, string.format('%.17g', ahead), string.format('%.17g', early)}
end
ahead = ahead + interval
local whole = math.floor(ahead)
local kept = string.format('%.0f:%.17g', now + whole, ahead - whole)
redis.call('SET', KEYS[1], kept, 'PX', string.format('%.0f', math.max(1, math.ceil(ahead / 1000))))
local remaining = math.max(0, math.floor((tolerance - ahead) / interval + 1e-3))
return {1, remaining, string.format('%.17g', ahead), '0'}
"""
_DIGEST = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # how EVALSHA names a script


class RedisLimiter:
    """See core.cache.Limiter. One round trip a request."""

    def __init__(self, connection: RedisConnection, *, prefix: str = "zhiyun:limit:") -> None:
        self._connection = connection
        self._prefix = prefix

    async def take(self, key: str, rate: Rate) -> Verdict:
        check_rate(rate)
        allowed, remaining, reset_us, retry_us = await self._connection.call(
            lambda redis: _evaluate(redis, self._prefix + key, rate)
        )
        return Verdict(bool(int(allowed)), int(remaining), float(reset_us) / 1e6, float(retry_us) / 1e6)

    async def close(self) -> None:
        await self._connection.close()


async def _evaluate(redis: "Redis", key: str, rate: Rate) -> list[bytes]:
    from redis.exceptions import NoScriptError

    arguments = (1, key, repr(rate.per_s), str(rate.burst))
    try:
        answer: list[bytes] = await redis.evalsha(_DIGEST, *arguments)
    except NoScriptError:  # a Redis that was started since
        answer = await redis.eval(_SCRIPT, *arguments)
    return answer


def _conforms(connection: RedisConnection) -> Limiter:
    return RedisLimiter(connection)
