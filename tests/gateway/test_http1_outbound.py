"""Upstreams that fail, hang or answer nonsense, and clients that are slow or leave: who is told what, and who is to blame."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from config.upstreams import Retries
from gateway.http1.engine import Patience
from tests.gateway.raw_upstream import ANSWER, Upstream, body_of, status_of
from tests.gateway.rig import Rig, closing, rigged, until


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged(Patience(body_s=2.0, write_s=2.0)) as made:
        yield made


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"NONSENSE\r\n\r\n", b"upstream_malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", b"upstream_malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"upstream_malformed"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", b"upstream_malformed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"upstream_malformed"),
    ],
)
async def test_an_answer_that_is_none_is_502_and_never_passed_on(rig: Rig, upstream: Upstream, answer: bytes, code: bytes) -> None:
    upstream.answers[b"/it"] = answer
    got = await rig.exchange(closing(b"GET /it HTTP/1.1"))
    assert status_of(got) == 502
    assert b'"code":"' + code in got
    assert body_of(await rig.exchange(closing(b"GET / HTTP/1.1"))) == b"ok", "the next one has a connection of its own"


async def test_bytes_after_an_answer_never_become_the_next_one(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/it"] = ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    both = b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n" + closing(b"GET / HTTP/1.1")
    answer = await rig.exchange(both)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"evil" not in answer


async def test_an_answer_that_is_cut_is_cut_for_the_client_too(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/it"] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok"
    try:
        answer = await rig.exchange(b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n")
    except ConnectionResetError:
        answer = b""
    assert not answer or answer.endswith(b"ok"), "two of nine bytes, then the end"
    assert rig.ended[0].error_code == "upstream_failed"


async def test_a_kept_connection_that_died_is_replaced_for_safe_requests_only(rig: Rig, upstream: Upstream) -> None:
    upstream.fails = {b"/get": 1, b"/post": 1, b"/keyed": 1}
    await rig.exchange(closing(b"GET / HTTP/1.1"))
    assert body_of(await rig.exchange(closing(b"GET /get HTTP/1.1"))) == b"ok"
    body = b"\r\nContent-Length: 1"
    assert status_of(await rig.exchange(closing(b"POST /post HTTP/1.1" + body, b"a"))) == 502
    keyed = closing(b"POST /keyed HTTP/1.1\r\nIdempotency-Key: 1" + body, b"a")
    assert body_of(await rig.exchange(keyed)) == b"ok"
    assert [head.split(b" ")[1] for head, _ in upstream.seen] == [b"/", b"/get", b"/get", b"/post", b"/keyed", b"/keyed"]
    assert [sent for head, sent in upstream.seen if b"/keyed" in head] == [b"a", b"a"]


async def test_statuses_that_say_so_are_tried_elsewhere(rig: Rig) -> None:
    good, bad = Upstream(), Upstream()
    bad.answers[b"/"] = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    ports = [await rig.upstream(each.serve, name) for name, each in (("good", good), ("bad", bad))]
    rig.declare("up", *(f"http://127.0.0.1:{port}" for port in ports), retries=Retries(attempts=2, budget=1.0))
    rig.route("*")
    answers = [status_of(await rig.exchange(closing(b"GET / HTTP/1.1"))) for _ in range(6)]
    assert answers == [200] * 6
    assert bad.seen


async def test_no_connection_is_told_with_the_route(rig: Rig, free_port: int) -> None:
    rig.declare("up", f"http://127.0.0.1:{free_port}")
    rig.route("*")
    answer = await rig.exchange(closing(b"POST / HTTP/1.1\r\nContent-Length: 1", b"a"))
    assert status_of(answer) == 502
    assert b"route * failed" in answer


async def test_an_upstream_that_hangs_is_504_at_the_deadline(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/slow"] = b"HANG"
    rig.route("slow", limits={"timeout_s": 0.3})
    answer = await rig.exchange(closing(b"GET /slow HTTP/1.1"))
    assert status_of(answer) == 504
    assert b"upstream_timeout" in answer
    assert rig.upstreams.get("up").active == 0


async def test_a_client_that_leaves_frees_the_upstream(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/slow"] = b"HANG"
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: bool(upstream.seen))
    writer.transport.abort()
    await until(lambda: bool(rig.ended))
    assert (rig.ended[0].status, rig.upstreams.get("up").active) == (499, 0)


async def test_an_early_answer_ends_an_upload(rig: Rig) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.close()

    await rig.upstream(refuse)
    rig.route("*")
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    answer = await asyncio.wait_for(reader.read(), 60)
    assert status_of(answer) == 413
    assert b"Connection: close" in answer
    writer.close()


async def test_a_slow_reader_slows_the_upstream_down_and_memory_stays(rig: Rig) -> None:
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        size = 100 << 20
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        try:
            while written < size:
                writer.write(b"x" * 65_536)
                await writer.drain()
                written += 65_536
        except ConnectionError:
            pass
        finally:
            writer.close()

    await rig.upstream(pour)
    rig.route("*")
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: written > 0)
    before = 0
    while written > before:  # until it stands still
        before = written
        await asyncio.sleep(0.5)
    assert written < 16 << 20, "what the sockets of three hops hold, not the body"
    writer.transport.abort()


async def test_a_reader_that_takes_nothing_is_given_up(rig: Rig) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20) + b"x" * (32 << 20))
        await reader.read()
        writer.close()

    await rig.upstream(pour)
    rig.route("*")
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: bool(rig.ended))
    assert rig.ended[0].error_code == "reader_too_slow"
    writer.close()


async def test_a_slow_upload_is_not_the_upstreams_fault(rig: Rig, upstream: Upstream) -> None:
    upstream.answers[b"/echo"] = b"ECHO"
    rig.route("echo", limits={"timeout_s": 1.5})
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(closing(b"POST /echo HTTP/1.1\r\nContent-Length: 8"))
    for _ in range(8):
        await asyncio.sleep(0.25)
        writer.write(b"x")
    assert (await reader.read()).endswith(b"xxxxxxxx")
    (endpoint,) = rig.upstreams.get("up").endpoints
    assert endpoint.failures == 0
    writer.close()


async def test_an_upstream_that_stalls_within_its_answer_is_to_blame(rig: Rig) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        await reader.read()
        writer.close()

    await rig.upstream(stall)
    rig.route("*")
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: bool(rig.ended))
    assert rig.ended[0].error_code == "upstream_timeout"
    assert rig.upstreams.get("up").endpoints[0].failures == 1
    writer.close()


async def test_the_upstream_is_told_how_long_anybody_waits(rig: Rig, upstream: Upstream) -> None:
    rig.route("*", limits={"timeout_s": 20.0})
    await rig.exchange(closing(b"GET / HTTP/1.1\r\nX-Zhiyun-Timeout-Ms: 999999"))
    found = re.findall(rb"X-Zhiyun-Timeout-Ms: (\d+)\r\n", upstream.seen[0][0])
    assert len(found) == 1
    assert 0 < int(found[0]) <= 20_000
