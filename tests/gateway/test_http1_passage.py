"""Requests through the gateway to raw upstreams on real sockets: what they see and what the client sees. What failures do is in
test_http1_outbound."""

import asyncio
import re
import time

import pytest

from config.upstreams import Shadow
from core.errors import Forbidden
from gateway.identity import Identity
from gateway.stage import Outcome, Request, Response
from tests.gateway.raw_upstream import ANSWER, Upstream, body_of, status_of
from tests.gateway.rig import Rig, closing, read_request, rigged, until

BIG = bytes(range(256)) * 20_000


async def test_what_the_upstream_sees_is_the_request_and_who_sent_it(rig: Rig, upstream: Upstream) -> None:
    head = b"GET /a/b?c=%20d HTTP/1.1\r\nAccept: */*\r\nX-Zhiyun-App: forged\r\nX-Forwarded-For: 9.9.9.9\r\nKeep-Alive: 5"
    head += b"\r\nAuthorization: Basic eA=="
    answer = await rig.exchange(closing(head))
    sent = upstream.seen[0][0]
    assert sent.startswith(b"GET /a/b?c=%20d HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n")
    assert b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" in sent
    assert b"Authorization: Basic eA==\r\n" in sent, "the platform did not use it: it is the upstream's"
    for forged in (b"forged", b"9.9.9.9", b"Keep-Alive", b"Connection"):
        assert forged not in sent
    request_id = re.search(rb"X-Request-Id: (\w+)", sent)
    assert request_id is not None
    assert b"X-Request-Id: " + request_id[1] in answer
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
    assert answer.endswith(b"\r\n\r\nok")


async def test_an_absolute_target_goes_on_as_a_path_with_its_authority_as_host(rig: Rig, upstream: Upstream) -> None:
    (endpoint,) = rig.upstreams.get("up").endpoints
    rig.declare("up", endpoint.url, host="client")
    await rig.exchange(b"GET http://A.example:80/a?b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert upstream.seen[0][0].startswith(b"GET /a?b HTTP/1.1\r\nHost: A.example:80\r\n")
    assert upstream.seen[0][0].lower().count(b"host: ") == 1
    answer = await rig.exchange(b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n")
    assert status_of(answer) == 400
    assert len(upstream.seen) == 1


async def test_credentials_that_the_platform_used_go_no_further(rig: Rig, upstream: Upstream) -> None:
    class Known:
        name = "authenticate"

        def on_request(self, request: Request) -> Outcome:
            request.identity = Identity("shop", "ak_1")
            request.tell("RateLimit", '"gold";r=1')
            return None

    rig.route("known", (Known(),))
    answer = await rig.exchange(closing(b"GET /known HTTP/1.1\r\nAuthorization: Bearer secret-token"))
    assert b"secret-token" not in upstream.seen[0][0]
    assert b"X-Zhiyun-App: shop\r\n" in upstream.seen[0][0]
    assert b'RateLimit: "gold";r=1\r\n' in answer


async def test_bodies_pass_both_ways_whole(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/echo"] = b"ECHO"
    head = b"POST /echo HTTP/1.1\r\nContent-Length: %d" % len(BIG)
    got = await rig.exchange(closing(head, BIG))
    assert body_of(got) == BIG, got[:600]
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (1000, BIG[at : at + 1000]) for at in range(0, 50_000, 1000)) + b"0\r\n\r\n"
    upstream.answers[b"/chunked"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    answer = await rig.exchange(closing(b"POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked", chunks))
    assert body_of(answer) == chunks
    assert upstream.seen[-1][1] == chunks
    assert answer.count(b"Transfer-Encoding: chunked") == 1


async def test_one_connection_serves_many_and_pipelined_ones_keep_their_order(rig: Rig, upstream: Upstream) -> None:
    for number in range(20):
        upstream.answers[b"/%d" % number] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d" % number
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(19)] + [closing(b"GET /19 HTTP/1.1")]
    answer = await rig.exchange(b"".join(requests))
    assert re.findall(rb"\r\n\r\n(\d{3})", answer) == [b"%03d" % number for number in range(20)]
    assert upstream.connections == 1, "the upstream's connection is kept"


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", b""),
        (b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n', b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ANSWER, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil close", b"b\r\nuntil close\r\n0\r\n\r\n"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
            b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
    ],
)
async def test_each_framing_of_an_answer_arrives(rig: Rig, upstream: Upstream, answer: bytes, seen: bytes) -> None:
    upstream.answers[b"/it"] = answer
    got = await rig.exchange(closing(b"GET /it HTTP/1.1"))
    final = got if b"103" not in got[:20] else body_of(got)
    assert status_of(final) == int(answer.split(b" ")[1] if b"103" not in answer[:20] else 200)
    assert body_of(final) == seen


async def test_head_is_answered_without_a_body(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/it"] = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    answer = await rig.exchange(closing(b"HEAD /it HTTP/1.1"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 500\r\n" in answer


async def test_an_old_client_gets_chunks_undone(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/it"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    answer = await rig.exchange(b"GET /it HTTP/1.0\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nok")
    assert b"chunked" not in answer


async def test_expectations_are_met_by_the_gateway(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/echo"] = b"ECHO"
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(closing(b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    assert (await reader.read()).endswith(b"body")
    assert b"xpect" not in upstream.seen[0][0]
    writer.close()


async def test_a_body_over_the_routes_limit_is_413_and_not_sent_on(rig: Rig, upstream: Upstream) -> None:
    rig.route("small", limits={"max_body_bytes": 10})
    known = await rig.exchange(closing(b"POST /small HTTP/1.1\r\nContent-Length: 11", b"x" * 11))
    assert (status_of(known), upstream.seen) == (413, [])
    unknown = await rig.exchange(
        closing(b"POST /small HTTP/1.1\r\nTransfer-Encoding: chunked", b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n")
    )
    assert status_of(unknown) == 413


async def test_an_encoded_slash_is_never_sent_on(rig: Rig, upstream: Upstream) -> None:
    answer = await rig.exchange(closing(b"GET /a%2Fb HTTP/1.1"))
    assert (status_of(answer), upstream.seen) == (400, [])
    assert b"ambiguous_path" in answer


class _Stages:
    """A stage with every hook, to be told what to do."""

    name = "every"

    def __init__(self) -> None:
        self.limit = 0
        self.answer: Response | None = None
        self.ended = 0
        self.failed: list[str] = []

    def wants_body(self, request: Request) -> int:
        return 100

    async def _later(self) -> None:
        await asyncio.sleep(0.01)

    def on_request(self, request: Request) -> Outcome:
        if request.content == b"no":
            raise Forbidden("no")
        if request.content == b"mine":
            return Response(200, [], b"mine")
        if request.content:
            request.replace_body(request.content.upper(), "text/plain")
        request.set_header("X-Stage", "1")
        return self._later()

    def collects(self, request: Request, response: Response) -> int:
        return self.limit

    def on_response(self, request: Request, response: Response) -> Outcome:
        response.set_header("X-Seen", str(len(response.body)))
        if self.limit:
            response.body = response.body * 2
        return None

    def on_end(self, request: Request) -> None:
        self.ended += 1

    def on_failure(self, request: Request, error: Exception) -> Response | None:
        self.failed.append(str(error))
        return self.answer


async def test_stages_see_and_change_both_ways(rig: Rig, upstream: Upstream) -> None:
    stage = _Stages()
    rig.route("*", (stage,))
    head = b"POST / HTTP/1.1\r\nContent-Length: 3"
    passing = await rig.exchange(closing(head, b"abc"))
    assert (body_of(passing), upstream.seen[0][1]) == (b"ok", b"ABC")
    assert b"X-Seen: 0\r\n" in passing
    assert b"X-Stage: 1\r\n" in upstream.seen[0][0]
    stage.limit = 10
    whole = await rig.exchange(closing(head, b"abc"))
    assert body_of(whole) == b"okok"
    assert b"Content-Length: 4\r\n" in whole
    stage.limit = 1
    assert b"answer_too_large" in await rig.exchange(closing(head, b"abc"))
    assert status_of(await rig.exchange(closing(b"POST / HTTP/1.1\r\nContent-Length: 2", b"no"))) == 403
    assert body_of(await rig.exchange(closing(b"POST / HTTP/1.1\r\nContent-Length: 4", b"mine"))) == b"mine"
    assert status_of(await rig.exchange(closing(b"POST / HTTP/1.1\r\nContent-Length: 101", b"x" * 101))) == 413
    assert stage.ended == 5, "not for the one whose body it never saw"


async def test_a_stage_may_rescue_a_failure(rig: Rig, free_port: int) -> None:
    stage = _Stages()
    stage.answer = Response(200, [], b"stale")
    rig.declare("up", f"http://127.0.0.1:{free_port}")
    rig.route("*", (stage,))
    assert body_of(await rig.exchange(closing(b"GET / HTTP/1.1"))) == b"stale"
    assert len(stage.failed) == 1


async def test_a_shadow_gets_a_copy_and_nobody_waits_for_it(rig: Rig, upstream: Upstream) -> None:
    shadow = Upstream()
    shadow.answers[b"/it"] = b"SLOW"
    await rig.upstream(shadow.serve, "shadow")
    rig.route("*", shadow=Shadow(upstream="shadow"))
    assert body_of(await rig.exchange(closing(b"GET /it HTTP/1.1"))) == b"ok"
    await until(lambda: bool(shadow.seen))
    assert shadow.seen[0][0].startswith(b"GET /it HTTP/1.1\r\n")
    await until(lambda: rig.upstreams.get("shadow").active == 0)


async def test_paths_are_stripped_and_prefixed(rig: Rig, upstream: Upstream) -> None:
    rig.route("api", strip=2, prefix="/internal")
    await rig.exchange(closing(b"GET /api/v1/items/7?x=1 HTTP/1.1"))
    assert upstream.seen[0][0].startswith(b"GET /internal/items/7?x=1 HTTP/1.1\r\n")


async def test_a_trusted_proxy_says_who_is_calling() -> None:
    async with rigged(is_trusted=lambda address: address in ("127.0.0.1", "10.0.0.1")) as rig:
        up = Upstream()
        await rig.upstream(up.serve)
        rig.route("*")
        head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 5.5.5.5, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc"
        await rig.exchange(closing(head))
        request = rig.ended[0]
        assert (request.remote, request.scheme, request.request_id) == ("5.5.5.5", "https", "abc")
        assert b"X-Forwarded-For: 5.5.5.5\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc\r\n" in up.seen[0][0]
        await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Forwarded-For: 5.5.5.5, junk"))
        assert rig.ended[1].remote == "127.0.0.1", "what is no address is nobody's"


async def test_a_drain_loses_no_request_under_way(rig: Rig) -> None:
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        writer.write(ANSWER)
        writer.close()

    await rig.upstream(slow)
    rig.route("*")
    asked = [asyncio.ensure_future(rig.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) for _ in range(20)]
    await until(lambda: rig.upstreams.get("up").active == 20)
    draining = asyncio.ensure_future(rig.listener.close(60))
    await until(lambda: rig.engine.is_draining)
    go.set()
    answers = await asyncio.gather(*asked)
    await draining
    assert all(answer.endswith(b"ok") for answer in answers)


def _over(answer: bytes) -> tuple[int, bool]:
    """The answer's status, and whether it says that the client's own time is over."""
    return status_of(answer), b'"deadline_exceeded"' in answer


async def test_a_client_s_deadline_shortens_the_route_s_and_is_passed_on(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/slow"] = b"HANG"
    started = time.monotonic()
    answer = await rig.exchange(closing(b"GET /slow HTTP/1.1\r\nx-zhiyun-timeout-ms: 200"))
    assert _over(answer) == (504, True)
    assert 0.19 < time.monotonic() - started < 20, "the route would give 30 s"
    (told,) = re.findall(rb"(?i)X-Zhiyun-Timeout-Ms: (\d+)\r\n", upstream.seen[0][0])
    assert 100 < int(told) <= 200
    assert (await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 200"))).endswith(b"ok")


async def test_a_deadline_of_the_client_s_is_no_fault_of_the_upstream_s(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/slow"] = b"HANG"
    for _ in range(20):
        assert _over(await rig.exchange(closing(b"GET /slow HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 10"))) == (504, True)
    upstream.answers[b"/next"] = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"
    for _ in range(20):
        assert status_of(await rig.exchange(closing(b"GET /next HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 2000"))) == 504
    asked = [head for head, _ in upstream.seen if head.startswith(b"GET /next ")]
    assert len(asked) == 20, "a gateway behind us gave up for it: that is not tried again either"
    state = rig.upstreams.get("up")
    assert (state.endpoints[0].failures, state.active) == (0, 0)
    assert status_of(await rig.exchange(closing(b"GET / HTTP/1.1"))) == 200
    assert status_of(await rig.exchange(closing(b"GET /next HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 60000"))) == 504
    assert state.endpoints[0].failures > 0, "the route's own deadline came first"


async def test_a_deadline_that_is_over_is_answered_without_the_upstream(rig: Rig, upstream: Upstream) -> None:
    assert _over(await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 0"))) == (504, True)
    assert upstream.seen == []
    assert b'"deadline_malformed"' in await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: soon"))


async def test_the_route_s_time_stays_the_ceiling(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/slow"] = b"HANG"
    rig.route("*", limits={"timeout_s": 0.3})
    answer = await rig.exchange(closing(b"GET /slow HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 9999999999"))
    assert status_of(answer) == 504
    assert b'"upstream_timeout"' in answer
    assert int(re.findall(rb"X-Zhiyun-Timeout-Ms: (\d+)", upstream.seen[0][0])[0]) <= 300


async def test_a_client_s_deadline_counts_while_it_sends_and_after(rig: Rig, upstream: Upstream) -> None:
    """The route's time counts from the last byte of a body, the client's own from the first of its head."""
    upstream.answers[b"/slow"] = b"HANG"
    deadline = b"HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\nX-Zhiyun-Timeout-Ms: 400\r\n\r\n"
    for path, rest in ((b"/ ", b""), (b"/slow ", b"cd")):
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"POST " + path + deadline + b"ab")
        await asyncio.sleep(0.1)
        writer.write(rest)
        assert _over(await asyncio.wait_for(reader.read(), 5)) == (504, True)
        assert 0.35 < time.monotonic() - started < 20
        writer.close()


async def test_an_answer_that_has_begun_is_not_cut_by_the_client_s_deadline(rig: Rig) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.3)
        writer.write(b"cd")
        writer.close()

    await rig.upstream(slowly)
    rig.route("*")
    assert (await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 150"))).endswith(b"\r\n\r\nabcd")
