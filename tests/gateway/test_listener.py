"""The listener on a real socket: what clients do right, wrong, slowly and not at all."""

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
from collections.abc import AsyncIterator

import pytest
import structlog

from core.errors import ConfigError, NotConnected
from gateway.http1.engine import Patience
from gateway.listener import Listener, bind
from gateway.stage import Request, Response, Stream
from tests.gateway.rig import Rig, closing, rigged, until

OK = b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"


class _Handler:
    """What a request under test may meet behind the listener."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.is_slow = asyncio.Event()
        self.go = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        if request.path == "/slow":
            self.is_slow.set()
            await self.go.wait()
        if request.path == "/body":
            return Response(200, [], str(len(await request.body())).encode())
        if request.path == "/bug":
            raise ZeroDivisionError("secret-of-the-house")
        if request.path == "/config":
            raise ConfigError("secret-of-the-house")
        if request.path in ("/events", "/broken-events"):
            return Response(200, [("Content-Type", "text/event-stream")], stream=self._stream)
        return Response(200, [("Content-Type", "text/plain")], b"ok")

    async def _stream(self, stream: Stream) -> None:
        for number in range(1000):
            await stream.write(b"data: %d\n\n" % number)
            if self.seen[-1].path == "/broken-events":
                raise ZeroDivisionError
            await asyncio.sleep(0.02)


MAX_BODY_BYTES = 1 << 20


class _Served:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.handler = _Handler()
        self.exchange = rig.exchange
        rig.serve("*", self.handler.handle, max_body_bytes=MAX_BODY_BYTES)

    @property
    def observed(self) -> list[int]:
        return [request.status for request in self.rig.ended]


@pytest.fixture
async def served() -> AsyncIterator[_Served]:
    async with rigged() as rig:
        each = _Served(rig)
        yield each
        each.handler.go.set()


def _problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer
    return int(head.split()[1]), json.loads(body)["code"]


async def test_a_request_arrives_whole_and_each_answer_has_its_id(served: _Served) -> None:
    head = b"GET /a%20b/c?x=1&x=%E5%BC%A0&y HTTP/1.1\r\nAccept: a\r\nAccept: b"
    answer = await served.exchange(closing(head))
    request = served.handler.seen[0]
    assert (request.method, request.path, request.query) == ("GET", "/a%20b/c", [("x", "1"), ("x", "张"), ("y", "")])
    assert (request.headers["accept"], request.remote) == ("a, b", "127.0.0.1")
    assert f"X-Request-Id: {request.request_id}".encode() in answer
    assert b"Server: zhiyun\r\n" in answer
    assert answer.endswith(b"\r\n\r\nok")
    assert served.observed == [200]


async def test_pipelined_requests_are_answered_in_order(served: _Served) -> None:
    heads = [b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /fast HTTP/1.1\r\nHost: x\r\n\r\n", closing(b"GET /bug HTTP/1.1")]
    answer = await served.exchange(b"".join(heads))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"500"]
    assert answer.count(b"\r\n\r\nok") == 1, "the answer to HEAD has no body"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /fast HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /fast HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000, 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /fast HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n", 431),
        (b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", 400),
        (b"GET /fast HTTP/1.1\nHost: x\n\n", 400),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else str(value),
)
async def test_what_is_no_http_is_refused_and_the_end_of_the_connection(served: _Served, data: bytes, status: int) -> None:
    answer = await served.exchange(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Traceback" not in answer
    assert (await served.exchange(closing(b"GET /fast HTTP/1.1"))).endswith(b"ok"), "others are served on"
    assert served.observed == [status, 200]


async def test_a_chunked_body_is_read_whole(served: _Served) -> None:
    head = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked"
    assert (await served.exchange(closing(head, b"2\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n"))).endswith(b"\r\n\r\n5")


async def test_a_body_over_the_limit_is_413_however_it_is_sent(served: _Served) -> None:
    size = MAX_BODY_BYTES + 1
    plain = closing(b"POST /body HTTP/1.1\r\nContent-Length: %d" % size, b"x" * size)
    chunked = closing(b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked", b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
    for data in (plain, chunked):
        assert _problem(await served.exchange(data)) == (413, "payload_too_large")
    exact = closing(b"POST /body HTTP/1.1\r\nContent-Length: %d" % MAX_BODY_BYTES, b"x" * MAX_BODY_BYTES)
    assert (await served.exchange(exact)).endswith(str(MAX_BODY_BYTES).encode())


async def test_a_client_that_asks_first_is_told_to_go_on(served: _Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rig.port)
    writer.write(closing(b"POST /body HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"4")
    writer.close()


async def test_a_client_that_leaves_in_the_middle_troubles_nobody(served: _Served) -> None:
    with structlog.testing.capture_logs() as logs:
        await served.exchange(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", is_half=True)
        await until(lambda: bool(served.observed))
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert served.observed == [400]


async def test_what_does_not_come_in_time_is_408() -> None:
    async with rigged(Patience(head_s=0.3, body_s=0.3, idle_s=0.3)) as rig:
        _Served(rig)
        for head in (closing(b"POST /body HTTP/1.1\r\nContent-Length: 10", b"{"), b"GET /fast HTTP/1.1\r\nHos"):
            assert _problem(await rig.exchange(head)) == (408, "request_timeout")
        assert await rig.exchange(b"") == b"", "a connection that sends nothing is closed without a word"
        assert (await rig.exchange(OK)).endswith(b"ok"), "and so is one that was idle for too long"


async def test_bytes_that_are_no_utf_8_arrive_as_text_that_can_be_stored(served: _Served) -> None:
    await served.exchange(closing(b"GET /fast HTTP/1.1\r\nIdempotency-Key: \xff\xfe\r\nX-Name: \xe5\xbc\xa0"))
    headers = served.handler.seen[0].headers
    headers["idempotency-key"].encode()
    assert headers["x-name"] == "张"


@pytest.mark.parametrize("query", ["%FF", "x=%E5%BC", "&".join(f"a{n}=1" for n in range(200))])
async def test_a_malformed_query_is_told_later(served: _Served, query: str) -> None:
    await served.exchange(closing(f"GET /fast?{query} HTTP/1.1".encode()))
    assert served.handler.seen[0].query == [("", "malformed query")]


@pytest.mark.parametrize("path", ["/bug", "/config"])
async def test_a_failure_within_is_500_logged_under_an_id_and_told_to_nobody(served: _Served, path: str) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await served.exchange(closing(f"GET {path} HTTP/1.1".encode()))
    assert _problem(answer)[0] == 500
    assert b"secret-of-the-house" not in answer
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["request_id"].encode() in answer
    assert path == "/config" or entry["error_id"].startswith("err_")
    assert served.observed == [500]


async def test_a_drain_lets_the_request_under_way_finish_and_takes_no_new_one(served: _Served) -> None:
    under_way = asyncio.ensure_future(served.exchange(closing(b"GET /slow HTTP/1.1")))
    await served.handler.is_slow.wait()
    draining = asyncio.ensure_future(served.rig.listener.close(60))
    await until(lambda: served.rig.engine.is_draining)
    with pytest.raises(OSError):
        await served.exchange(OK)
    assert not draining.done()
    served.handler.go.set()
    assert (await under_way).endswith(b"ok")
    await asyncio.wait_for(draining, 30)


async def test_a_drain_ends_streams_at_once_and_properly(served: _Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rig.port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"data: 2\n\n")
    await asyncio.wait_for(served.rig.listener.close(3600), 60)
    assert (await reader.read()).endswith(b"0\r\n\r\n"), "the last chunk: the reader knows that nothing was lost"
    writer.close()


async def test_a_stream_ends_with_its_reader(served: _Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rig.port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"data: 1\n\n")
    writer.transport.abort()
    await until(lambda: served.observed == [200] and not served.rig.engine.connections)


async def test_a_stream_that_fails_is_cut_and_logged(served: _Served) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await served.exchange(b"GET /broken-events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"data: 0\n\n" in answer
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["stream failed"]


async def test_head_of_a_stream_is_answered_without_it(served: _Served) -> None:
    answer = await served.exchange(closing(b"HEAD /events HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


async def test_an_address_that_can_not_be_had_names_itself(served: _Served) -> None:
    with pytest.raises(NotConnected, match=r"192\.0\.2\.1:80"):
        bind("192.0.2.1", 80)


async def test_many_connections_at_once_are_all_answered(served: _Served) -> None:
    answers = await asyncio.gather(*(served.exchange(closing(b"GET /fast HTTP/1.1")) for _ in range(100)))
    assert all(answer.endswith(b"ok") for answer in answers)


async def test_a_client_that_calls_without_a_pause_is_told_to_go_elsewhere(served: _Served) -> None:
    """A drain ends its connection with an answer that says so, not in between two."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rig.port)
    writer.write(OK)
    assert b"Connection: close" not in await _one(reader)
    draining = asyncio.ensure_future(served.rig.listener.close(60))
    await until(lambda: served.rig.engine.is_draining)
    writer.write(OK)
    assert b"\r\nConnection: close\r\n" in await _one(reader)
    assert await reader.read() == b""
    await asyncio.wait_for(draining, 30)
    writer.close()


async def test_a_connection_without_a_request_does_not_hold_up_a_drain(served: _Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rig.port)
    writer.write(OK)
    await _one(reader)
    await asyncio.wait_for(served.rig.listener.close(3600), 60)
    assert await reader.read() == b""
    writer.close()


async def _one(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    return head


V2 = b"\r\n\r\n\0\r\nQUIT\n"
FROM_V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4000 443\r\n"
FROM_V2 = V2 + b"\x21\x11\0\x0c" + bytes((203, 0, 113, 7, 10, 0, 0, 1, 15, 160, 1, 187))


@pytest.fixture
async def fronted(served: _Served) -> AsyncIterator[Listener]:
    """Expects PROXY headers from 127.0.0.1 only."""
    listener = Listener(served.rig.engine, served.rig.tasks, expects_proxy=lambda address: address == "127.0.0.1")
    await listener.start(bind("127.0.0.1", 0))
    yield listener
    await listener.close(0.1)


async def _sent(port: int, *pieces: bytes, source: str = "127.0.0.1", pause_s: float = 0.02) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (FROM_V1, "203.0.113.7"),
        (FROM_V2, "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2 + b"\x20\0\0\0", "127.0.0.1"),
    ],
)
async def test_a_trusted_balancer_speaks_for_its_caller(served: _Served, fronted: Listener, header: bytes, address: str) -> None:
    call = closing(b"GET /fast HTTP/1.1")
    half = len(header) // 2
    for pieces in ((header + call,), (header, call), (header[:1], header[1:half], header[half:], call)):
        assert (await _sent(fronted.port, *pieces)).endswith(b"ok")
    assert [request.remote for request in served.handler.seen] == [address] * 3


async def test_from_anybody_else_a_proxy_header_is_a_bad_request(served: _Served, fronted: Listener) -> None:
    call = closing(b"GET /fast HTTP/1.1")
    assert (await _sent(fronted.port, call, source="127.0.0.9")).endswith(b"ok")
    assert served.handler.seen[0].remote == "127.0.0.9"
    for header in (FROM_V1, FROM_V2):
        assert (await _sent(fronted.port, header + call, source="127.0.0.9")).startswith(b"HTTP/1.1 400 ")
    assert len(served.handler.seen) == 1


@pytest.mark.parametrize(
    "begin",
    [
        closing(b"GET /fast HTTP/1.1"),
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY TCP4 203.0.113.007 10.0.0.1 4000 443\r\n",
        b"PROXY " + b"x" * 200,
        V2 + b"\x31\x11\0\x0c" + bytes(12),
        V2 + b"\x21\x11\xff\xff" + bytes(600),
    ],
    ids=["none", "short", "zeros", "long", "version", "huge"],
)
async def test_a_malformed_proxy_header_ends_the_connection(served: _Served, fronted: Listener, begin: bytes) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert await _sent(fronted.port, begin) == b""
    assert served.handler.seen == []
    assert (await _sent(fronted.port, FROM_V1 + closing(b"GET /fast HTTP/1.1"))).endswith(b"ok"), "others are served on"


async def test_a_balancer_that_only_looks_whether_we_are_there_troubles_nobody(
    served: _Served, fronted: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    for begin in (b"", b"PROXY TCP4 203"):
        _, writer = await asyncio.open_connection("127.0.0.1", fronted.port)
        writer.write(begin)
        await asyncio.sleep(0.05)
        writer.transport.abort() if begin else writer.close()
        await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert (await _sent(fronted.port, FROM_V1 + closing(b"GET /fast HTTP/1.1"))).endswith(b"ok")


async def test_a_proxy_header_that_does_not_come_in_time_ends_the_connection(
    served: _Served, fronted: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.listener._FRONT_S", 0.3)
    for begin in (b"", b"PROXY TCP4 203", V2):
        with contextlib.suppress(ConnectionResetError):
            assert await _sent(fronted.port, begin) == b""


async def test_when_no_file_can_be_opened_connections_wait_and_are_served_later(
    served: _Served, fronted: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(("127.0.0.1", fronted.port)) as first:  # the accepting task has its first connection
        await asyncio.sleep(0.05)
        first.sendall(FROM_V1 + closing(b"GET /fast HTTP/1.1"))
        client = socket.socket()
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            client.connect(("127.0.0.1", fronted.port))
            with structlog.testing.capture_logs() as logs:
                await until(lambda: bool(logs))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    reader, writer = await asyncio.open_connection(sock=client)
    writer.write(FROM_V1 + closing(b"GET /fast HTTP/1.1"))
    async with asyncio.timeout(60):
        assert (await reader.read()).endswith(b"ok")
    writer.close()
    assert {entry["event"] for entry in logs} == {"a connection can't be accepted now"}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == [], "the accepting task has not failed"
