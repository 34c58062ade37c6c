"""WebSocket through the gateway: frames pass as they are, within limits of size and idleness, and end with the right to them."""

import asyncio
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.http1.engine import Patience
from gateway.http1.tunnel import FrameCounter
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
    return socket


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    server = web.Application()
    server.router.add_get("/ws", _echo)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with rigged(Patience()) as made:
        made.declare("up", f"http://127.0.0.1:{runner.addresses[0][1]}")
        made.route("ws", websocket=True, idle_s=2.0, max_message_bytes=100_000)
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


@pytest.mark.parametrize("by", ["client", "server"])
async def test_a_message_that_is_too_large_ends_it_with_1009(rig: Rig, by: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as socket:
        await socket.send_bytes(b"x" * (100_001 if by == "client" else 60_000))
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)


async def test_an_idle_tunnel_is_closed(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as socket:
        message = await asyncio.wait_for(socket.receive(), 60)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)


async def test_a_tunnel_ends_when_it_is_not_allowed_any_more(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{rig.port}/ws") as one:
        rig.engine.recheck(lambda request: request.path == "/ws")
        await one.send_str("still here")
        assert await one.receive_str() == "still here"
        rig.engine.recheck(lambda request: False)
        message = await asyncio.wait_for(one.receive(), 60)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)


async def test_a_route_without_websocket_does_not_upgrade(rig: Rig) -> None:
    head = b"GET /plain HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    answer = await rig.exchange(head + b"\r\nHost: x\r\n" + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert (await rig.exchange(closing(b"GET /plain HTTP/1.1"))).startswith(b"HTTP/1.1 404")
