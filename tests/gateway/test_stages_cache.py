"""The cache between real sockets: bodies that pass and are kept, conditional requests upstream, failures; what the recorder and the
access log say of it; and equal requests that come at once. `test_cache` has the rules one by one."""

import asyncio
import re
import time
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest

from config.policies import Cache as Policy
from core.errors import DeadlineExceeded
from core.supervise import Tasks
from gateway.access_log import AccessLog
from gateway.pipe import run
from gateway.record import HIT, MISS, Recorder
from gateway.response_cache import ResponseStore
from gateway.stage import Request, Response
from gateway.stages.cache import Cache
from gateway.tracing import Tracer
from tests.gateway.cache_desk import CacheDesk, cached, of_shop
from tests.gateway.rig import Rig, closing, serve_requests, until

BODY = bytes(range(256)) * 400
NO_STORE = [("Cache-Control", "no-store")]


class Origin:
    """Answers with `answer` while `gate` is open; keeps the heads it was sent."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        head = b"HTTP/1.1 200 OK\r\nServer: up\r\nDate: %b\r\nCache-Control: max-age=60\r\n" % formatdate(usegmt=True).encode()
        self.answer = head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(head: bytes, body: bytes) -> bool:
            self.seen.append(head)
            await self.gate.wait()
            writer.write(self.answer[: len(self.answer) // 2] if self.is_cut else self.answer)
            await writer.drain()
            return not self.is_cut

        await serve_requests(reader, writer, answer)


@pytest.fixture
async def origin(rig: Rig) -> Origin:
    made = Origin()
    await rig.upstream(made.serve)
    rig.route("*", (Cache(Policy(ttl_s=60, stale_if_error_s=60), ResponseStore(), "goods"),))
    return made


async def ask(rig: Rig, target: bytes = b"/goods", *fields: bytes, method: bytes = b"GET") -> tuple[bytes, bytes]:
    """The head and the body of the answer."""
    answer = await rig.exchange(closing(b"\r\n".join((method + b" " + target + b" HTTP/1.1", *fields))))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_what_passed_is_given_again_whole(rig: Rig, origin: Origin) -> None:
    first, second = await ask(rig), await ask(rig)
    assert (first[1], second[1]) == (BODY, BODY)
    assert (b"X-Cache: miss" in first[0], b"X-Cache: hit" in second[0]) == (True, True)
    assert re.search(rb"\r\nAge: \d+(?:\r\n|$)", second[0])
    assert len(origin.seen) == 1
    for name in (b"Date", b"Server", b"Age", b"Cache-Control", b"Content-Length", b"X-Cache"):
        assert second[0].count(b"\r\n" + name + b": ") == 1
    head, body = await ask(rig, method=b"HEAD")
    assert (b"X-Cache: hit" in head, b"Content-Length: %d" % len(BODY) in head, body) == (True, True, b"")


async def test_a_chunked_answer_is_kept_without_its_framing(rig: Rig, origin: Origin) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (1000, BODY[at : at + 1000]) for at in range(0, 10_000, 1000)) + b"0\r\n\r\n"
    origin.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    await ask(rig)
    head, body = await ask(rig)
    assert (b"X-Cache: hit" in head, b"Content-Length: 10000" in head, body) == (True, True, BODY[:10_000])


async def test_an_answer_that_was_cut_is_not_kept(rig: Rig, origin: Origin) -> None:
    origin.is_cut = True
    await ask(rig)
    origin.is_cut = False
    head, body = await ask(rig)
    assert (b"X-Cache: miss" in head, body) == (True, BODY)


async def test_a_stale_answer_is_asked_about_with_its_validator(rig: Rig, origin: Origin) -> None:
    origin.answer = b'HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: "1"\r\nContent-Length: 5\r\n\r\nwhole'
    await ask(rig)
    origin.answer = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: max-age=60\r\n\r\n'
    head, body = await ask(rig, b"/goods", b'If-None-Match: "mine"')
    assert origin.seen[1].count(b"If-None-Match") == 1
    assert b'If-None-Match: "1"\r\n' in origin.seen[1]
    assert (head.split(b" ")[1], b"X-Cache: revalidated" in head, body) == (b"200", True, b"whole")
    head, body = await ask(rig, b"/goods", b'If-None-Match: "1"')
    assert (head.split(b" ")[1], b"X-Cache: hit" in head, body) == (b"304", True, b"")


async def test_many_at_once_send_one_upstream(rig: Rig, origin: Origin) -> None:
    origin.gate.clear()
    asking = [asyncio.ensure_future(ask(rig)) for _ in range(20)]
    await until(lambda: len(origin.seen) == 1 and len(rig.engine.connections) == 20)
    origin.gate.set()
    answers = await asyncio.gather(*asking)
    assert {body for _, body in answers} == {BODY}
    assert sum(b"X-Cache: hit" in head for head, _ in answers) == 19
    assert len(origin.seen) == 1


async def test_a_client_that_leaves_does_not_take_the_others_along(rig: Rig, origin: Origin) -> None:
    origin.gate.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(closing(b"GET /goods HTTP/1.1"))
    await until(lambda: len(origin.seen) == 1)
    others = [asyncio.ensure_future(ask(rig)) for _ in range(3)]
    await until(lambda: len(rig.engine.connections) == 4)
    await asyncio.sleep(0.05)
    writer.close()
    await until(lambda: len(origin.seen) == 2)  # one of the others goes itself
    origin.gate.set()
    assert {(await each)[1] for each in others} == {BODY}
    assert len(origin.seen) == 2


async def test_one_that_waits_for_less_than_the_others_does_not_send_them_all(rig: Rig, origin: Origin) -> None:
    """Its deadline is its own: one of the others leads, they do not all go."""
    origin.gate.clear()
    hurried = asyncio.ensure_future(ask(rig, b"/goods", b"X-Zhiyun-Timeout-Ms: 2000"))
    await until(lambda: len(origin.seen) == 1)
    others = [asyncio.ensure_future(ask(rig)) for _ in range(8)]
    assert (await hurried)[0].startswith(b"HTTP/1.1 504")
    await until(lambda: len(origin.seen) == 2)
    origin.gate.set()
    assert {(await each)[1] for each in others} == {BODY}
    assert len(origin.seen) == 2


async def test_an_upstream_that_gives_no_answer_is_covered_by_the_old_one(rig: Rig, origin: Origin) -> None:
    origin.answer = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=60\r\nContent-Length: 3\r\n\r\nold"
    await ask(rig)
    origin.answer, origin.is_cut = b"", True
    head, body = await ask(rig)
    assert (head.split(b" ")[1], b"X-Cache: stale" in head, body) == (b"200", True, b"old")
    assert (await ask(rig, b"/else"))[0].split(b" ")[1] == b"502"


async def test_what_is_recorded_of_it(rig: Rig, origin: Origin, tmp_path: Path) -> None:
    tracer = Tracer(ratio=1.0)
    rig.engine.next_trace = tracer.next_trace
    await ask(rig, b"/goods?secret=1")
    await ask(rig, b"/goods?secret=1")
    await until(lambda: len(rig.ended) == 2)
    recorder, log = Recorder(), AccessLog(tmp_path, "0")
    for request in rig.ended:
        recorder.on_end(request)
        log.on_end(request)
    log.close()
    recorder.fold()
    assert (recorder.routes["*"][MISS], recorder.routes["*"][HIT], recorder.routes["*"][2]) == (1, 1, 2)
    lines = [msgspec.json.decode(line) for line in (tmp_path / "access-0.log").read_text().splitlines()]
    assert [(line["cache"], line["status"], line["out"], line["path"]) for line in lines] == [
        ("miss", 200, len(BODY), "/goods"),
        ("hit", 200, len(BODY), "/goods"),
    ]
    assert b"traceparent: 00-%b-" % lines[0]["trace"].encode() in origin.seen[0]


async def test_equal_requests_wait_for_one() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    gate = origin.hold(200, body=b"one")
    asking = [asyncio.ensure_future(origin.ask()) for _ in range(20)]
    await asyncio.sleep(0.01)
    gate.set()
    answers = await asyncio.gather(*asking)
    assert {answer.body for answer in answers} == {b"one"}
    assert sorted(cached(answer) for answer in answers) == ["hit"] * 19 + ["miss"]
    assert len(origin.seen) == 1


async def test_each_goes_itself_where_the_answer_may_not_be_shared() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    first = origin.hold(headers=NO_STORE)
    asking = [asyncio.ensure_future(origin.ask()) for _ in range(10)]
    await until(lambda: len(origin.seen) == 1)
    others = origin.hold(headers=NO_STORE)
    first.set()
    await until(lambda: len(origin.seen) == 10)  # the other nine all at once: none has an answer yet
    others.set()
    assert [cached(await each) for each in asking] == ["miss"] * 10


async def test_nobody_waits_one_after_the_other_for_a_failing_upstream() -> None:
    origin = CacheDesk(Policy(ttl_s=60))

    first = origin.hold(503)
    asking = [asyncio.ensure_future(origin.ask()) for _ in range(20)]
    await until(lambda: len(origin.seen) == 1)
    others = origin.hold(503)
    first.set()
    await until(lambda: len(origin.seen) == 20)  # the other nineteen all at once: none has an answer yet
    others.set()
    assert [(await each).status for each in asking] == [503] * 20


async def test_those_who_wait_get_the_old_answer_when_the_first_fails() -> None:
    origin = CacheDesk(Policy(ttl_s=60, stale_if_error_s=100))
    await origin.ask()
    origin.time.now += 61

    gate = origin.hold(503)
    asking = [asyncio.ensure_future(origin.ask()) for _ in range(5)]
    await until(lambda: len(origin.seen) == 2)
    gate.set()
    assert [cached(await each) for each in asking] == ["stale"] * 5
    assert len(origin.seen) == 2


async def test_a_first_that_is_lost_lets_the_next_lead() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    gate = origin.hold(200, body=b"one")
    first, second, third = (asyncio.ensure_future(origin.ask()) for _ in range(3))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    assert len(origin.seen) == 2
    gate.set()
    assert [(await each).body for each in (second, third)] == [b"one", b"one"]
    assert len(origin.seen) == 2
    assert first.cancelled()


async def test_one_waits_no_longer_than_its_own_time() -> None:
    origin = CacheDesk(Policy(ttl_s=60))
    gate = origin.hold(200)
    first = asyncio.ensure_future(origin.ask())
    await asyncio.sleep(0)
    request = of_shop()
    request.deadline = time.monotonic() + 0.02
    with pytest.raises(DeadlineExceeded):
        await run(origin.pipe, request)
    gate.set()
    await first


async def test_while_one_asks_again_the_others_get_the_old_answer() -> None:
    origin = CacheDesk(Policy(ttl_s=60, stale_while_revalidate_s=10))
    await origin.ask()
    origin.time.now += 65
    gate = origin.hold(200, [("Cache-Control", "max-age=60")], b"new")
    first = asyncio.ensure_future(origin.ask())
    await asyncio.sleep(0)
    other = await origin.ask()
    assert (other.body, cached(other)) == (b"goods", "stale")
    gate.set()
    assert (await first).body == b"new"
    assert cached(await origin.ask()) == "hit"


async def test_with_a_way_to_ask_nobody_waits_for_the_refresh() -> None:
    failures: list[str] = []
    tasks = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    fetched: list[Request] = []

    async def fetch(request: Request) -> Response:
        fetched.append(request)
        return Response(304, [("ETag", '"1"'), ("Cache-Control", "max-age=60")])

    origin = CacheDesk(Policy(ttl_s=60, stale_while_revalidate_s=10), fetch=fetch, spawn=tasks.spawn)
    origin.answer = lambda request: Response(200, [("ETag", '"1"')], b"goods")
    await origin.ask()
    origin.time.now += 65
    assert [cached(await origin.ask()) for _ in range(3)] == ["stale"] * 3
    await asyncio.sleep(0.01)
    assert [request.added for request in fetched] == [[b'If-None-Match: "1"\r\n']]
    assert cached(await origin.ask()) == "hit"
    assert (len(origin.seen), failures) == (1, [])
    await tasks.close()
