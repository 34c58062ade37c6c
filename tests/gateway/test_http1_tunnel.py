"""WebSocket through the gateway: frames pass as they are, within limits of size and idleness, and end with the right to them."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.engine import Patience
from gateway.http1.tunnel import GOING_AWAY, MALFORMED, NOT_ALLOWED, TOO_BIG, FrameCounter, Tunnel, close_frame
from tests.gateway.rig import Rig, closing, rigged, until


def frame(opcode: int, payload: bytes, *, is_final: bool = True, mask: bytes = b"") -> bytes:
    size = len(payload)
    length = (
        bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65_536 else b"\x7f" + struct.pack(">Q", size)
    )
    head = bytes([opcode | (0x80 if is_final else 0), length[0] | (0x80 if mask else 0)]) + length[1:]
    return head + mask + payload


@pytest.mark.parametrize(
    ("frames", "passes"),
    [
        ([frame(1, b"x" * 100)], True),
        ([frame(2, b"x" * 101)], False),
        ([frame(1, b"x" * 60, is_final=False), frame(9, b"ping"), frame(0, b"x" * 40)], True),
        ([frame(1, b"x" * 60, is_final=False), frame(0, b"x" * 41)], False),
        ([frame(1, b"x" * 100), frame(1, b"x" * 100, mask=b"abcd")], True),
        ([frame(0, b"x")], False),
        ([frame(1, b"", is_final=False), frame(1, b"")], False),
        ([frame(3, b"")], False),
        ([frame(8, b"x" * 126)], False),
        ([frame(9, b"", is_final=False)], False),
        ([frame(2, b"x" * 70_000)], False),
    ],
)
def test_messages_are_counted_over_their_fragments(frames: list[bytes], passes: bool) -> None:
    whole, split = FrameCounter(100), FrameCounter(100)
    data = b"".join(frames)
    assert whole.passes(data) == passes
    assert all(split.passes(data[at : at + 1]) for at in range(len(data))) == passes
    assert bool(whole.refusal) != passes


CLIENT, SERVER = True, False
CLOSE = frame(8, struct.pack(">H", 1000))


def is_over(tunnel: Tunnel) -> bool:
    return tunnel.is_over


def unmasked(data: bytes) -> bytes:
    """A frame to the server as it is meant."""
    assert data[1] & 0x80
    mask = data[2:6]
    return bytes([data[0], data[1] & 0x7F]) + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[6:]))


def test_an_end_between_frames_is_told_to_both_sides_and_over_when_both_have_answered() -> None:
    tunnel = Tunnel(1.0, 100)
    assert tunnel.passes(frame(1, b"x", mask=b"abcd"), is_client=CLIENT)
    to_client, to_server = tunnel.end(GOING_AWAY)
    assert to_client == frame(8, struct.pack(">H", 1001))
    assert unmasked(to_server) == to_client
    assert tunnel.tail(frame(1, b"late", mask=b"abcd"), is_client=CLIENT) == (b"", b"")
    assert tunnel.tail(frame(2, b"x" * 500) + CLOSE, is_client=SERVER) == (b"", b"")
    assert not is_over(tunnel)
    assert tunnel.tail(CLOSE, is_client=CLIENT) == (b"", b"")
    assert is_over(tunnel)


@pytest.mark.parametrize("cut", range(1, 14))
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_an_end_within_a_frame_waits_for_the_frame_s_end(cut: int, side: bool) -> None:
    """Wherever the frame was cut, in its head or its payload: a close frame in it would be taken for payload."""
    whole = frame(2, b"x" * 130, mask=b"abcd" if side is CLIENT else b"")
    tunnel = Tunnel(1.0, 200)
    assert tunnel.passes(whole[:cut], is_client=side)
    first = tunnel.end(NOT_ALLOWED)
    place = 1 if side is CLIENT else 0  # whom the cut frame goes to
    assert first[place] == b""
    assert first[1 - place] != b""
    assert tunnel.tail(whole[cut:-1], is_client=side)[place] == whole[cut:-1]
    rest = tunnel.tail(whole[-1:] + frame(1, b"more"), is_client=side)[place]
    assert rest[:1] == whole[-1:]
    closing = unmasked(rest[1:]) if side is CLIENT else rest[1:]
    assert closing == frame(8, struct.pack(">H", 1008))
    assert tunnel.tail(frame(1, b"more"), is_client=side) == (b"", b"")


def test_a_close_frame_of_a_side_s_own_is_not_followed_by_another() -> None:
    tunnel = Tunnel(1.0, 100)
    assert tunnel.passes(frame(8, b"\x03\xe8", mask=b"abcd"), is_client=CLIENT)
    to_client, to_server = tunnel.end(GOING_AWAY)
    assert (to_client, to_server) == (close_frame(1001, is_masked=False), b"")
    assert not is_over(tunnel)
    tunnel.tail(CLOSE, is_client=SERVER)
    assert is_over(tunnel)
    begun = Tunnel(1.0, 100)
    assert begun.passes(CLOSE[:1], is_client=SERVER)
    assert begun.end(GOING_AWAY)[0] == b""
    assert begun.tail(CLOSE[1:] + CLOSE, is_client=SERVER) == (CLOSE[1:], b"")


def test_a_server_that_is_gone_is_not_waited_for() -> None:
    tunnel = Tunnel(1.0, 100)
    tunnel.end(GOING_AWAY)
    tunnel.server_gone()
    assert not is_over(tunnel), "the client has a moment still"
    tunnel.tail(CLOSE, is_client=CLIENT)
    assert is_over(tunnel)
    within = Tunnel(1.0, 100)
    assert within.passes(frame(1, b"xxx")[:3], is_client=SERVER)
    within.end(GOING_AWAY)
    within.server_gone()
    assert is_over(within), "the rest of its frame will never come"


def test_behind_a_message_that_is_too_large_the_answer_is_still_found() -> None:
    tunnel = Tunnel(1.0, 100)
    assert not tunnel.passes(frame(2, b"x" * 101, mask=b"abcd")[:50], is_client=CLIENT)
    assert tunnel.refusal == TOO_BIG
    tunnel.end(tunnel.refusal)
    tunnel.tail(frame(2, b"x" * 101, mask=b"abcd")[50:] + CLOSE, is_client=CLIENT)
    tunnel.tail(CLOSE, is_client=SERVER)
    assert is_over(tunnel)
    noise = Tunnel(1.0, 100)
    assert not noise.passes(b"\xff" * 20, is_client=CLIENT)
    assert noise.refusal == MALFORMED
    noise.end(noise.refusal)
    noise.tail(CLOSE * 5, is_client=CLIENT)
    noise.tail(CLOSE, is_client=SERVER)
    assert not is_over(noise), "where frames can't be told apart there is no answer"


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=20))
def test_whatever_comes_after_the_end_each_side_is_told_once(pieces: list[tuple[bool, bytes]]) -> None:
    tunnel = Tunnel(1.0, 1000)
    sent = [b"", b""]
    for is_client, data in pieces[::2]:
        if not tunnel.passes(data, is_client=is_client):
            break
        sent[is_client] += data
    told = list(tunnel.end(GOING_AWAY))
    for is_client, data in pieces[1::2]:
        more = tunnel.tail(data, is_client=is_client)
        told = [told[0] + more[0], told[1] + more[1]]
    for place in (0, 1):
        counter = FrameCounter(float("inf"))
        assert counter.passes(sent[1 - place] + told[place]) or counter.refusal == MALFORMED, "what a side gets stays frames"


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_break_the_counter(pieces: list[bytes]) -> None:
    counter = FrameCounter(1000)
    assert all(isinstance(counter.passes(piece), bool) for piece in pieces)
    assert len(counter._head) <= 14


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data * 2)
    CODES.append(socket.close_code)
    return socket


CODES: list[int | None] = []  # with which the server's sockets were closed


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    CODES.clear()
    server = web.Application()
    for path in ("/ws", "/calm"):
        server.router.add_get(path, _echo)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with rigged(Patience()) as made:
        made.declare("up", f"http://127.0.0.1:{runner.addresses[0][1]}")
        made.route("ws", websocket=True, idle_s=2.0, max_message_bytes=100_000)
        made.route("calm", websocket=True, idle_s=60)
        made.route("plain")
        yield made
    await runner.cleanup()


async def test_messages_pass_both_ways(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as socket:
        for size in (0, 1, 125, 126, 40_000):
            await socket.send_str("字" * (size // 3))
            assert (await socket.receive_str()) == "字" * (size // 3)
        await socket.send_bytes(b"x" * 45_000)
        assert await socket.receive_bytes() == b"x" * 90_000
    await until(lambda: bool(rig.ended))
    assert rig.ended[0].status == 101
    assert rig.ended[0].sent_bytes > 90_000
    assert rig.upstreams.get("up").active == 0


async def test_how_long_a_tunnel_is_open_does_not_count_as_the_upstreams_latency(rig: Rig) -> None:
    (endpoint,) = rig.upstreams.get("up").endpoints
    rig.declare("up", endpoint.url, balance="ewma")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/calm") as socket:
        await socket.send_str("open")
        await socket.receive_str()
        await asyncio.sleep(2)
    await until(lambda: bool(rig.ended))
    request = rig.ended[0]
    assert request.upstream_s < request.ended - request.started - 1.9, "its answer alone"
    assert rig.upstreams.get("up").endpoints[0].latency_s == request.upstream_s


@pytest.mark.parametrize("by", ["client", "server"])
async def test_a_message_that_is_too_large_ends_it_with_1009(rig: Rig, by: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as socket:
        await socket.send_bytes(b"x" * (100_001 if by == "client" else 60_000))
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)


async def test_an_idle_tunnel_is_closed(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as socket:
        assert await _code(socket) == 1001


async def _code(socket: aiohttp.ClientWebSocketResponse) -> int:
    """The code of the close frame that comes next."""
    message = await asyncio.wait_for(socket.receive(), 60)
    assert message.type == aiohttp.WSMsgType.CLOSE, message
    return int(message.data)


async def test_a_tunnel_ends_when_it_is_not_allowed_any_more(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as one:
        rig.engine.recheck()
        await one.send_str("still here")
        assert await one.receive_str() == "still here"
        rig.engine.allowed_until = lambda request: 0.0
        rig.engine.recheck(lambda request: request.path != "/ws")
        await one.send_str("not concerned")
        assert await one.receive_str() == "not concerned"
        rig.engine.recheck(lambda request: request.path == "/ws")
        assert await _code(one) == 1008
    await until(lambda: CODES == [1008])
    await until(lambda: bool(rig.ended))
    assert rig.ended[0].error_code == "tunnel_not_allowed"
    assert rig.upstreams.get("up").active == 0


async def test_a_tunnel_is_asked_about_again_when_its_time_is_over(rig: Rig) -> None:
    ends = time.time() + 2.0
    rig.engine.allowed_until = lambda request: ends
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as one:
        ends = time.time() + 4.0  # prolonged: an issuer's keys were looked at again, say
        started = time.monotonic()
        while time.monotonic() - started < 3.0:  # never idle
            await one.send_str("still here")
            assert await one.receive_str() == "still here"
            await asyncio.sleep(0.05)
        assert await _code(one) == 1008
        assert time.monotonic() - started > 3.9


async def test_many_tunnels_are_rechecked_in_several_turns(rig: Rig) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"http://127.0.0.1:{rig.port}/calm"
        sockets = [await session.ws_connect(url) for _ in range(80)]
        rig.engine.allowed_until = lambda request: 0.0
        rig.engine.recheck()
        assert [await _code(socket) for socket in sockets] == [1008] * 80
        await until(lambda: len(CODES) == 80)


async def test_a_drain_says_goodbye_to_both_sides_and_waits_for_their_answer(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as one:
        started = time.monotonic()
        draining = asyncio.ensure_future(rig.listener.close(10.0))
        assert await _code(one) == 1001
        await draining
        assert time.monotonic() - started < 9, "nobody has to be cut"
    await until(lambda: CODES == [1001])


async def test_a_side_that_does_not_answer_the_close_frame_is_cut_after_a_moment(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    started = time.monotonic()
    await rig.listener.close(10.0)
    assert 0.9 < time.monotonic() - started < 9, "before the drain's grace ends"
    assert await reader.read() == close_frame(1001, is_masked=False)
    writer.close()


async def test_a_route_without_websocket_does_not_upgrade(rig: Rig) -> None:
    head = b"GET /plain HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    answer = await rig.exchange(head + b"\r\nHost: x\r\n" + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert (await rig.exchange(closing(b"GET /plain HTTP/1.1"))).startswith(b"HTTP/1.1 404")
