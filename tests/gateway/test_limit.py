"""The plan's and the route's limits, told to the caller; all or none charged; places given back once."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

import pytest

from cache.limiter_memory import MemoryLimiter
from cache.limiter_redis import RedisLimiter
from config.model import App, Plan, Platform
from config.policies import Limit as Declared
from core.cache import Answer, Charge, Held, Left, Pending
from core.errors import Limited, PlatformError, Unauthenticated, Unavailable
from gateway.identity import Identity
from gateway.pipe import Pipe, run
from gateway.problems import problem, status_of
from gateway.stage import EndStage, Request, Response, Stage
from gateway.stages.limit import HoldingLimit, Limit, limit_stage
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import Desk, header, json_of, request_of, told_pairs

PLATFORM = Platform(
    plans={
        "tiny": Plan(per_s=0.5, burst=2),
        "gold": Plan(per_s=1000, burst=1000),
        "quota": Plan(per_s=1000, burst=1000, per_day=3, per_month=100),
    },
    apps={
        "slow": App(plan="tiny"),
        "quick": App(plan="gold"),
        "other": App(plan="gold"),
        "metered": App(plan="quota"),
    },
)


def _request(app: str | None = "slow", remote: str = "10.0.0.1") -> Request:
    request = request_of("GET", "/", remote=remote)
    if app is not None:
        request.identity = Identity(app, "ak", frozenset())
        request.app = PLATFORM.apps.get(app)
    return request


def _passes(stage: Stage, request: Request) -> bool:
    try:
        assert stage.on_request(request) is None
    except Limited:
        return False
    return True


class TestLimit(StageSuite):
    def stage(self) -> Stage:
        return limit_stage(PLATFORM, "orders", (), MemoryLimiter())

    def admitted(self) -> Request:
        return _request("quick")

    def refused(self) -> Request:
        return _request(None)


class TestHoldingLimit(TestLimit):
    def stage(self) -> Stage:
        stage = limit_stage(PLATFORM, "orders", (Declared(concurrent=100),), MemoryLimiter())
        assert isinstance(stage, EndStage)
        return stage


def test_each_answer_tells_the_plan_and_what_is_left() -> None:
    limit = limit_stage(PLATFORM, "orders", (), MemoryLimiter())
    assert not isinstance(limit, EndStage)  # nothing to hear of where no places are counted
    first, second, quick = _request(), _request(), _request("quick")
    for request in (first, second, quick):
        assert limit.on_request(request) is None
    assert told_pairs(first) == [("RateLimit-Policy", '"tiny";q=2;w=4'), ("RateLimit", '"tiny";r=1;t=2')]
    assert told_pairs(second) == [("RateLimit-Policy", '"tiny";q=2;w=4'), ("RateLimit", '"tiny";r=0;t=4')]
    assert told_pairs(quick) == [("RateLimit-Policy", '"gold";q=1000;w=1'), ("RateLimit", '"gold";r=999;t=1')]


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


def test_a_request_that_the_route_refuses_is_not_charged_to_the_plan() -> None:
    limiter = MemoryLimiter()
    narrow = limit_stage(PLATFORM, "orders", (Declared(per=("address",), per_s=0.01, burst=1),), limiter)
    plain = limit_stage(PLATFORM, "visits", (), limiter)
    assert _passes(narrow, _request("metered"))
    refused = _request("metered")
    for _ in range(5):
        with pytest.raises(Limited, match=r"orders, counted for each address, allows 0\.01 requests a second, 1 at once"):
            narrow.on_request(refused)
    assert _passes(narrow, _request("metered", "10.0.0.2"))
    assert _passes(plain, _request("metered"))  # the third of three a day
    with pytest.raises(Limited) as caught:
        plain.on_request(_request("metered"))
    assert caught.value.specific_code == "quota_used_up"
    assert 0 < caught.value.retry_after_s <= 86_400


def test_apps_of_one_plan_share_what_is_counted_per_plan() -> None:
    limit = limit_stage(PLATFORM, "orders", (Declared(per=("plan",), per_s=0.01, burst=3),), MemoryLimiter())
    assert [_passes(limit, _request(app)) for app in ("quick", "other", "quick", "other", "slow")] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_plans_count_over_all_routes_and_limits_of_a_route_for_it_alone() -> None:
    limiter, per_app = MemoryLimiter(), (Declared(per=("app",), per_s=0.01, burst=1),)
    orders, visits = (limit_stage(PLATFORM, name, per_app, limiter) for name in ("orders", "visits"))
    assert [_passes(stage, _request("quick")) for stage in (orders, visits, orders)] == [True, True, False]
    assert [_passes(stage, _request("slow")) for stage in (orders, visits)] == [True, True]
    third = limit_stage(PLATFORM, "third", (), limiter)
    assert not _passes(third, _request("slow"))


def test_an_anonymous_route_has_its_own_limits_only() -> None:
    limits = (Declared(per=("address",), per_s=0.01, burst=1),)
    open_route = limit_stage(PLATFORM, "open", limits, MemoryLimiter(), anonymous=True)
    assert [_passes(open_route, _request(None, remote)) for remote in ("10.0.0.1", "10.0.0.2", "10.0.0.1")] == [True, True, False]
    unlimited, request = limit_stage(PLATFORM, "free", (), MemoryLimiter(), anonymous=True), _request(None)
    assert unlimited.on_request(request) is None
    assert request.told is None
    with pytest.raises(Unauthenticated):
        limit_stage(PLATFORM, "open", limits, MemoryLimiter()).on_request(_request(None))


HELD = (Declared(per=("app",), concurrent=2),)


async def _served(_: Request) -> Response:
    await asyncio.sleep(0.05)
    return Response(200)


async def _broken(_: Request) -> Response:
    raise PlatformError("broken")


async def _slow(_: Request) -> Response:
    await asyncio.sleep(30)
    return Response(200)


async def _outcome(stage: Stage, handler: object) -> str:
    try:
        response = await run(Pipe("orders", [stage], handler=handler), _request("quick"))  # type: ignore[arg-type]
    except PlatformError as error:
        return error.specific_code
    return str(response.status)


async def test_places_are_given_back_however_a_request_ends() -> None:
    limiter = MemoryLimiter()
    stage = limit_stage(PLATFORM, "orders", HELD, limiter)
    outcomes = await asyncio.gather(*(_outcome(stage, _served) for _ in range(4)))
    assert sorted(outcomes) == ["200", "200", "too_many_under_way", "too_many_under_way"]
    assert [await _outcome(stage, _broken) for _ in range(5)] == ["internal"] * 5
    lost = [asyncio.ensure_future(_outcome(stage, _slow)) for _ in range(2)]
    await asyncio.sleep(0.02)
    assert await _outcome(stage, _served) == "too_many_under_way"
    for each in lost:
        each.cancel()
    await asyncio.gather(*lost, return_exceptions=True)
    assert not limiter._under_way
    assert sorted(await asyncio.gather(*(_outcome(stage, _served) for _ in range(3)))) == ["200", "200", "too_many_under_way"]


def test_a_place_is_given_back_once_though_the_end_were_told_twice() -> None:
    stage = limit_stage(PLATFORM, "orders", HELD, MemoryLimiter())
    assert isinstance(stage, HoldingLimit)
    first, second = _request("quick"), _request("quick")
    assert _passes(stage, first)
    assert _passes(stage, second)
    stage.on_end(first)
    stage.on_end(first)
    assert [_passes(stage, _request("quick")) for _ in range(2)] == [True, False]


class Late:
    """A limiter whose answers come when the test says; counts what is given back."""

    def __init__(self) -> None:
        self.asked: list[Pending] = []
        self.given_back: list[Held] = []

    def decide(self, charges: Sequence[Charge]) -> Pending:
        self.asked.append(Pending(asyncio.get_running_loop().create_future()))
        return self.asked[-1]

    async def look(self, charges: Sequence[Charge]) -> Left:
        raise AssertionError("no stage looks")

    def give_back(self, held: Held) -> None:
        self.given_back.append(held)

    async def close(self) -> None: ...


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_client_that_left_before_the_answer_holds_nothing(is_cancelled: bool) -> None:
    late = Late()
    stage, request = limit_stage(PLATFORM, "orders", HELD, late), _request("quick")
    assert isinstance(stage, HoldingLimit)
    assert stage.on_request(request) is late.asked[0].future
    if is_cancelled:
        late.asked[0].future.cancel()
    stage.on_end(request)
    held = Held(late, ("c",))
    late.asked[0].settle(Answer(-1, 0.0, ((1, 0.0), (1, 0.0)), held))
    assert late.given_back == [held]
    stage.on_end(request)
    assert late.given_back == [held]


async def test_an_answer_that_comes_later_tells_refuses_and_holds_like_one_at_once() -> None:
    late = Late()
    stage = limit_stage(PLATFORM, "orders", HELD, late)
    assert isinstance(stage, HoldingLimit)
    first, second = _request("quick"), _request("quick")
    waits = [stage.on_request(request) for request in (first, second)]
    held = Held(late, ("c",))
    late.asked[0].settle(Answer(-1, 0.0, ((9, 1.0), (1, 0.0)), held))
    late.asked[1].settle(Answer(1, 1.0, ((9, 1.0), (0, 0.0))))
    assert await waits[0] is None  # type: ignore[misc]
    assert told_pairs(first)[1] == ("RateLimit", '"gold";r=9;t=1, "orders-1-concurrent";r=1;t=0')
    with pytest.raises(Limited) as caught:
        await waits[1]  # type: ignore[misc]
    assert caught.value.specific_code == "too_many_under_way"
    for request in (first, second):
        stage.on_end(request)
    assert late.given_back == [held]


@pytest.fixture
async def refusing(free_port: int) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(f"redis://127.0.0.1:{free_port}/0", MemoryLimiter(), when_down="refuse")
    yield limiter
    await limiter.close()


async def test_without_redis_it_is_503_where_so_declared_and_never_a_word_about_the_caller(refusing: RedisLimiter) -> None:
    with pytest.raises(Unavailable) as caught:
        limit_stage(PLATFORM, "orders", (), refusing).on_request(_request())
    assert (caught.value.specific_code, status_of(caught.value)) == ("limiter_unavailable", 503)


async def test_a_redis_that_is_gone_never_refuses_a_request_else(free_port: int) -> None:
    limiter = RedisLimiter(f"redis://127.0.0.1:{free_port}/0", MemoryLimiter())
    stage = limit_stage(PLATFORM, "orders", (), limiter)
    assert [_passes(stage, _request()) for _ in range(2)] == [True, True]
    with pytest.raises(Limited) as caught:  # this node's own count still protects what is behind it
        stage.on_request(_request())
    assert problem(caught.value, _request()).status == 429
    await limiter.close()


def test_the_plain_stage_has_no_end() -> None:
    assert isinstance(limit_stage(PLATFORM, "orders", (), MemoryLimiter()), Limit)
