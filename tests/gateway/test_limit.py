"""The plan's rate, told to the caller, counted by this node alone when the shared count can't be had."""

import re

import pytest

from cache.limiter_memory import MemoryLimiter
from cache.limiter_redis import RedisLimiter
from cache.redis_connection import RedisConnection
from config.model import Plan
from core.errors import Limited
from gateway.identity import Identity
from gateway.problems import problem
from gateway.stages.limit import Limit
from tests.gateway.desk import Desk, header, json_of, request_of

PLANS = {"slow": ("tiny", Plan(per_s=0.5, burst=2)), "quick": ("gold", Plan(per_s=1000, burst=1000))}


def _request(app: str = "slow") -> Request:
    request = request_of("GET", "/")
    request.identity = Identity(app, "ak", frozenset())
    return request


async def _served(_: Request) -> Response:
    return Response(200)


async def test_each_answer_tells_the_plan_and_what_is_left() -> None:
    limit = Limit(PLANS, MemoryLimiter(), MemoryLimiter())(_served)
    first, second = await limit(_request()), await limit(_request())
    assert header(first, "RateLimit-Policy") == '"tiny";q=2;w=4'
    assert [header(answer, "RateLimit") for answer in (first, second)] == ['"tiny";r=1;t=2', '"tiny";r=0;t=4']
    assert header(await limit(_request("quick")), "RateLimit-Policy") == '"gold";q=1000;w=1'


async def test_past_the_burst_it_is_429_with_the_time_to_wait(desk: Desk) -> None:
    answers = [await desk.ask("GET", "/v1/customers/K1", app="slow") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert json_of(refused)["code"] == "rate_limited"
    assert "plan tiny allows 0.5 requests a second, 2 at once" in json_of(refused)["detail"]
    assert header(refused, "Retry-After") == "2"
    assert header(refused, "RateLimit-Policy") == '"tiny";q=2;w=4'
    assert re.fullmatch(r'"tiny";r=0;t=4', header(refused, "RateLimit") or "")
    assert (await desk.ask("GET", "/v1/customers/K1", app="reader")).status == 200


async def test_a_redis_that_is_gone_never_refuses_a_request(free_port: int) -> None:
    limiter = RedisLimiter(RedisConnection(f"redis://127.0.0.1:{free_port}/0"))
    limit = Limit(PLANS, limiter, MemoryLimiter())(_served)
    try:
        assert [(await limit(_request())).status for _ in range(2)] == [200, 200]
        with pytest.raises(Limited) as caught:  # this node's own count still protects what is behind it
            await limit(_request())
    finally:
        await limiter.close()
    assert problem(caught.value, _request()).status == 429
