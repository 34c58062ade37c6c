"""The cache stage in a pipe: hits, validators, Vary, callers apart, failures, invalidation. Requests at once: test_stages_cache."""

import asyncio

import pytest

from config.model import App
from config.policies import Cache as Policy
from config.policies import Grant
from config.upstreams import Split
from core.errors import DeadlineExceeded, NotConnected, Unauthenticated
from gateway.pipe import Pipe
from gateway.response_cache import ResponseStore
from gateway.stage import Request, Response, Stage
from gateway.stages.cache import Cache
from tests.conformance.stage_suite import StageSuite
from tests.gateway.cache_desk import Answer, CacheDesk, cached, shared
from tests.gateway.desk import request_of


async def test_the_second_answer_comes_from_the_cache_with_its_age() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    first = await origin.ask()
    origin.time.now += 7
    second = await origin.ask()
    assert (cached(first), cached(second), second.header("age")) == ("miss", "hit", "7")
    assert (second.status, second.body, len(origin.seen)) == (200, b"goods", 1)


async def test_a_hit_can_be_changed_by_outer_stages_without_changing_what_is_kept() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    await origin.ask()
    hit = await origin.ask()
    hit.headers.clear()
    assert (await origin.ask()).header("cache-control") == "max-age=60"


async def test_what_stands_before_the_cache_works_on_every_answer_and_never_on_what_is_kept() -> None:
    class Masked:
        name = "masked"

        def on_request(self, request: Request) -> None:
            return None

        def collects(self, request: Request, response: Response) -> int:
            return 1000

        def on_response(self, request: Request, response: Response) -> None:
            if request.identity.app == "narrow":
                response.body = b"*****"

    origin = CacheDesk(shared())
    origin.answer = lambda request: Response(200, [("Cache-Control", "public, max-age=60")], b"goods")
    origin.pipe = Pipe("goods", [Masked(), origin.stage], handler=origin.handle)
    answers = [await origin.ask(app=app) for app in ("narrow", "narrow", "wide")]
    assert [(answer.body, cached(answer)) for answer in answers] == [(b"*****", "miss"), (b"*****", "hit"), (b"goods", "hit")]


async def test_after_its_time_the_upstream_is_asked_again() -> None:
    origin = CacheDesk(Policy())
    await origin.ask()
    origin.time.now += 60
    assert cached(await origin.ask()) == "miss"
    assert len(origin.seen) == 2


async def test_callers_have_their_own_copies_where_the_policy_is_private() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    origin.answer = lambda request: Response(200, body=request.identity.app.encode())
    assert [(await origin.ask(app=app)).body for app in ("shop", "desk", "shop", "desk")] == [b"shop", b"desk", b"shop", b"desk"]
    assert len(origin.seen) == 2


async def test_an_anonymous_route_keeps_what_the_upstreams_own_credentials_see_apart() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    origin.answer = lambda request: Response(200, body=request.authorization)
    for token in ("Bearer a", "Bearer b", "Bearer a"):
        assert (await origin.ask(app=None, headers={"authorization": token})).body == token.encode()
    assert len(origin.seen) == 2


async def test_a_cookie_makes_an_answer_personal_unless_the_upstream_says_otherwise() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    for _ in range(2):
        assert cached(await origin.ask(app=None, headers={"cookie": "s=1"})) == "miss"
    origin.answer = lambda request: Response(200, [("Cache-Control", "public, max-age=60")])
    await origin.ask("/public", app=None, headers={"cookie": "s=1"})
    assert cached(await origin.ask("/public", app=None, headers={"cookie": "s=2"})) == "hit"


async def test_identified_callers_share_only_what_the_upstream_lets_them() -> None:
    origin = CacheDesk(shared())
    await origin.ask()
    assert cached(await origin.ask()) == "miss"
    origin.answer = lambda request: Response(200, [("Cache-Control", "s-maxage=60")], b"all")
    await origin.ask("/all")
    assert cached(await origin.ask("/all", app="desk")) == "hit"


async def test_an_app_whose_grant_narrows_the_route_never_shares() -> None:
    origin = CacheDesk(shared())
    origin.answer = lambda request: Response(200, [("Cache-Control", "public, max-age=60")], b"all")
    narrow = App(plan="p", grants={"goods": Grant(fields=("id",))})
    await origin.ask()
    assert cached(await origin.ask(app="narrow", declared=narrow)) == "miss"
    assert cached(await origin.ask(app="other", declared=App(plan="p", grants={"else": Grant()}))) == "hit"


async def test_canaries_for_a_header_or_for_apps_are_kept_apart() -> None:
    for split, asked in (
        (Split("next", header="X-Canary"), [{"x-canary": "1"}, {}]),
        (Split("next", apps=("desk",)), [{"app": "shop"}, {"app": "desk"}]),
    ):
        origin = CacheDesk(shared(), splits=[split])
        origin.answer = lambda request: Response(200, [("Cache-Control", "public, max-age=60")])
        for expected in ("miss", "hit"):
            for each in asked:
                answer = await origin.ask(app=each.get("app", "shop"), headers={k: v for k, v in each.items() if k != "app"})
                assert cached(answer) == expected


async def test_hosts_targets_and_queries_are_apart() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    asked: list[tuple[str, str]] = [("/a", "x"), ("/a?b=1", "x"), ("/a?b=2", "x"), ("/a", "y")]
    answers = [await origin.ask(target, headers={"host": host}) for target, host in asked]
    assert [cached(answer) for answer in answers] == ["miss"] * 4


async def test_vary_keeps_one_answer_for_each_value() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    origin.answer = lambda request: Response(200, [("Vary", "Accept-Language")], request.headers["accept-language"].encode())
    asked = ["zh", "en", "zh", "en"]
    answers = [await origin.ask(headers={"accept-language": language}) for language in asked]
    assert [(answer.body.decode(), cached(answer)) for answer in answers] == [
        ("zh", "miss"),
        ("en", "miss"),
        ("zh", "hit"),
        ("en", "hit"),
    ]


async def test_the_policys_vary_always_takes_part() -> None:
    origin = CacheDesk(Policy(ttl_s=60, vary=("X-Tenant",)))
    answers = [await origin.ask(headers={"x-tenant": tenant}) for tenant in ("1", "2", "1")]
    assert [cached(answer) for answer in answers] == ["miss", "miss", "hit"]


async def test_the_upstream_is_asked_with_the_validators_and_its_304_gives_the_stored_answer() -> None:
    origin = CacheDesk(Policy())
    origin.answer = lambda request: Response(200, [("ETag", '"1"'), ("Cache-Control", "max-age=5")], b"whole")
    await origin.ask()
    origin.time.now += 6
    origin.answer = lambda request: Response(304, [("ETag", '"1"'), ("Cache-Control", "max-age=50")])
    answer = await origin.ask(headers={"if-none-match": '"0"'})
    assert (answer.status, answer.body, cached(answer), answer.header("cache-control")) == (
        200,
        b"whole",
        "revalidated",
        "max-age=50",
    )
    assert origin.seen[1].added == [b'If-None-Match: "1"\r\n']
    origin.time.now += 40
    assert cached(await origin.ask()) == "hit"


async def test_a_client_that_has_it_gets_304() -> None:
    origin = CacheDesk(Policy())
    origin.answer = lambda request: Response(200, [("ETag", '"1"'), ("Cache-Control", "max-age=5"), ("X-A", "b")], b"whole")
    await origin.ask()
    answer = await origin.ask(headers={"if-none-match": '"1"'})
    assert (answer.status, answer.body, answer.header("etag"), answer.header("x-a")) == (304, b"", '"1"', "")
    assert (await origin.ask(headers={"if-none-match": '"2"'})).status == 200
    origin.time.now += 6
    origin.answer = lambda request: Response(304, [("ETag", '"1"'), ("Cache-Control", "max-age=5")])
    assert (await origin.ask(headers={"if-none-match": '"1"'})).status == 304
    assert len(origin.seen) == 2


async def test_requests_that_say_how() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    with pytest.raises(DeadlineExceeded) as caught:
        await origin.ask(headers={"cache-control": "only-if-cached"})
    assert caught.value.specific_code == "not_cached"
    await origin.ask()
    assert cached(await origin.ask(headers={"cache-control": "only-if-cached"})) == "hit"
    assert cached(await origin.ask(headers={"cache-control": "no-cache"})) == "miss"
    assert cached(await origin.ask(headers={"cache-control": "no-store"})) == ""
    assert cached(await origin.ask(headers={"range": "bytes=0-1"})) == ""
    assert cached(await origin.ask(headers={"if-match": '"1"'})) == ""
    origin.time.now += 10
    assert cached(await origin.ask(headers={"cache-control": "max-age=20"})) == "hit"
    assert cached(await origin.ask(headers={"cache-control": "max-age=9"})) == "miss"


async def test_head_is_answered_from_a_get_and_never_kept() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    for _ in range(2):
        assert cached(await origin.ask(method="HEAD")) == "miss"
    await origin.ask()
    assert cached(await origin.ask(method="HEAD")) == "hit"


@pytest.mark.parametrize(("status", "is_gone"), [(200, True), (204, True), (303, True), (500, True), (400, False), (404, False)])
async def test_an_unsafe_method_makes_all_answers_of_its_target_invalid(status: int, is_gone: bool) -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    for app in ("shop", "desk"):
        await origin.ask(app=app)
    await origin.ask("/other")
    origin.answer = lambda request: Response(status)
    await origin.ask(method="POST")
    origin.answer = lambda request: Response(200)
    expected = "miss" if is_gone else "hit"
    assert [cached(await origin.ask(app=app)) for app in ("shop", "desk")] == [expected, expected]
    assert cached(await origin.ask("/other")) == "hit"


async def test_an_answer_on_its_way_while_the_target_changes_is_not_kept() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    gate = origin.hold(200, body=b"old")
    asking = asyncio.ensure_future(origin.ask())
    await asyncio.sleep(0)
    origin.answer = lambda request: Response(204)
    await origin.ask(method="PUT")
    gate.set()
    await asking
    origin.answer = lambda request: Response(200, body=b"new")
    assert (await origin.ask()).body == b"new"


def failing(status: int) -> Answer:
    return lambda request: Response(status)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_failing_upstream_is_covered_by_the_old_answer(status: int) -> None:
    origin = CacheDesk(Policy(ttl_s=60, stale_if_error_s=100))
    await origin.ask()
    origin.answer = failing(status)
    origin.time.now += 159
    answer = await origin.ask()
    assert (answer.status, answer.body, cached(answer), answer.header("age")) == (200, b"goods", "stale", "159")
    origin.time.now += 1
    assert (await origin.ask()).status == status


async def test_an_upstream_that_must_be_asked_is_never_covered() -> None:
    origin = CacheDesk(Policy(stale_if_error_s=100))
    origin.answer = lambda request: Response(200, [("Cache-Control", "max-age=5, must-revalidate"), ("ETag", '"1"')])
    await origin.ask()
    origin.time.now += 6
    origin.answer = failing(503)
    assert (await origin.ask()).status == 503


async def test_an_upstream_that_is_not_there_is_covered_too() -> None:
    origin = CacheDesk(Policy(ttl_s=60, stale_if_error_s=100))
    await origin.ask()
    origin.time.now += 61
    request = origin.begun()
    answer = origin.stage.on_failure(request, NotConnected("refused"))
    assert answer is not None
    assert (answer.status, answer.body, cached(answer)) == (200, b"goods", "stale")
    assert origin.stage.on_failure(request, Unauthenticated("who")) is None
    origin.stage.on_end(request)
    origin.stage.on_end(request)


def passing(headers: list[tuple[str, str]]) -> Response:
    response = Response(200, headers)
    response.is_passing = True
    return response


@pytest.mark.parametrize(
    ("length", "pieces", "is_kept"),
    [
        ("6", [b"abc", b"def"], True),
        (None, [b"abc", b"def"], True),
        ("7", [b"abc", b"def"], False),
        ("", [b"abc"], True),
        (None, [b"x" * 60, b"y" * 60], False),
        ("120", [b"x" * 120], False),
        ("0", [], True),
    ],
)
async def test_a_passing_body_is_copied_while_it_passes(length: str | None, pieces: list[bytes], is_kept: bool) -> None:
    origin = CacheDesk(Policy(ttl_s=60, max_bytes=100))
    request = origin.begun()
    response = passing([] if length is None else [("Content-Length", length)])
    assert origin.stage.collects(request, response) == 0
    assert origin.stage.on_response(request, response) is None
    sent = list(pieces)
    for each in response.filters or ():
        sent = [each.feed(piece) for piece in pieces]
        assert each.finish() == b""
    assert sent == pieces
    origin.stage.on_end(request)
    answer = await origin.ask()
    assert (cached(answer), answer.body) == (("hit", b"".join(pieces)) if is_kept else ("miss", b"goods"))


async def test_a_body_that_breaks_off_is_not_kept() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    request = origin.begun()
    response = passing([])
    origin.stage.on_response(request, response)
    assert response.filters
    response.filters[0].feed(b"half")
    origin.stage.on_end(request)
    assert cached(await origin.ask()) == "miss"


class TestCache(StageSuite):
    def stage(self) -> Stage:
        return Cache(Policy(), ResponseStore(), "goods")

    def admitted(self) -> Request:
        return request_of("GET", "/goods", headers={"cache-control": "no-store"})

    def refused(self) -> Request:
        return request_of("GET", "/goods", headers={"cache-control": "only-if-cached"})
