"""Requests of the platform's own to a real upstream, and the cache that refreshes itself with them."""

import asyncio

import pytest

from config.policies import Cache as Policy
from core.errors import NotConnected, Unavailable
from gateway.http1.fetch import Fetch
from gateway.response_cache import ResponseStore
from gateway.stage import Request
from gateway.stages.cache import Cache
from tests.gateway.desk import request_of
from tests.gateway.rig import Rig, closing, serve_requests, until

ANSWER = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nwhole"


class Origin:
    """Gives `answer` for each request, or closes where that is empty."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.connections = 0
        self.answer = ANSWER

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1

        async def answer(head: bytes, body: bytes) -> bool:
            self.seen.append(head)
            if self.answer == b"HANG":
                await reader.read()
            writer.write(self.answer)
            return bool(self.answer)

        await serve_requests(reader, writer, answer)


@pytest.fixture
async def origin(rig: Rig) -> Origin:
    made = Origin()
    await rig.upstream(made.serve)
    rig.route("*")
    return made


def fetch_of(rig: Rig, max_bytes: int = 1000) -> Fetch:
    return Fetch(rig.pipes["*"].proxy, max_bytes)


def asking(timeout_s: float = 5.0) -> Request:
    request = request_of("GET", "/goods?id=1")
    request.deadline = request.started + timeout_s
    return request


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (ANSWER, 200, b"whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n", 200, b"whole"),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER, 200, b"whole"),
    ],
)
async def test_the_whole_answer_comes_and_the_connection_is_kept(
    rig: Rig, origin: Origin, answer: bytes, status: int, body: bytes
) -> None:
    origin.answer = answer
    for _ in range(2):
        response = await fetch_of(rig)(asking())
        assert (response.status, response.body) == (status, body)
    assert origin.connections == 1
    assert origin.seen[0].startswith(b"GET /goods?id=1 HTTP/1.1\r\n")
    assert rig.upstreams.get("up").active == 0


@pytest.mark.parametrize("answer", [b"", b"HANG", b"nonsense\r\n\r\n", ANSWER.replace(b": 5", b": 50"), ANSWER + b"x" * 2000])
async def test_no_whole_answer_is_a_failure_that_takes_no_longer_than_it_may(rig: Rig, origin: Origin, answer: bytes) -> None:
    origin.answer = answer
    if answer.startswith(ANSWER):
        origin.answer = answer.replace(b": 5", b": 2005")
    with pytest.raises(Unavailable):
        await fetch_of(rig)(asking(0.3))
    assert rig.upstreams.get("up").active == 0


async def test_an_upstream_that_is_not_there(rig: Rig, origin: Origin, free_port: int) -> None:
    rig.declare("up", f"http://127.0.0.1:{free_port}")
    with pytest.raises(NotConnected):
        await fetch_of(rig)(asking())
    assert rig.upstreams.get("up").active == 0


async def test_the_cache_refreshes_itself_while_clients_get_the_old_answer(rig: Rig, origin: Origin) -> None:
    policy = Policy(ttl_s=60, stale_while_revalidate_s=60)
    spawn = rig.tasks.spawn
    rig.route("*", (Cache(policy, ResponseStore(), "goods", fetch=fetch_of(rig), spawn=spawn),))
    control = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-while-revalidate=60\r\nContent-Length: 3\r\n\r\n"
    origin.answer = control + b"old"
    await rig.exchange(closing(b"GET /goods HTTP/1.1"))
    origin.answer = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nnew"
    answer = await rig.exchange(closing(b"GET /goods HTTP/1.1"))
    assert (b"X-Cache: stale" in answer, answer[-3:]) == (True, b"old")
    await until(lambda: len(origin.seen) == 2)
    async with asyncio.timeout(60):
        while b"X-Cache: hit" not in (answer := await rig.exchange(closing(b"GET /goods HTTP/1.1"))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (b"X-Cache: hit" in answer, answer[-3:]) == (True, b"new")
    assert len(origin.seen) == 2
