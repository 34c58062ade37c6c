"""WebSockets through a node of two workers, and how they end (issue 3: closed when the route or the app is disabled)."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jwt as pyjwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.system.gateway import Gateway, Login

SOCKETS = 8  # so many that either worker has some


def _routes(*, enabled: bool = True) -> dict[str, object]:
    return {
        "live": {
            "match": {"path": "/live/{rest...}"},
            "upstream": "one",
            "websocket": True,
            "max_message_bytes": 100,
            "enabled": enabled,
        }
    }


async def _open(gateway: Gateway, headers: dict[str, str]) -> list[ClientConnection]:
    url = gateway.url.replace("http", "ws") + "/live/ws"
    found = [await connect(url, additional_headers=headers, proxy=None) for _ in range(SOCKETS)]
    for socket in found:
        await socket.send("智云")
        assert await socket.recv() == "智云"
    return found


async def _are_closed(sockets: list[ClientConnection], code: int = 1008) -> None:
    """From the other side, while they are idle, each by a close frame with that code."""
    for socket in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)
        assert closed.value.rcvd is not None, "cut without a close frame"
        assert closed.value.rcvd.code == code


async def _answers(sockets: list[ClientConnection]) -> None:
    for socket in sockets:
        await socket.send("still here")
        assert await asyncio.wait_for(socket.recv(), 5) == "still here"


def _disable_route(gateway: Gateway, login: Login) -> None:
    gateway.apply(routes=_routes(enabled=False))


def _disable_app(gateway: Gateway, login: Login) -> None:
    with gateway.node.operator() as operator:
        assert operator.patch(f"/apps/{login.name}", json={"enabled": False}).status_code == 200


def _revoke(gateway: Gateway, login: Login) -> None:
    with gateway.node.operator() as operator:
        assert operator.delete("/app-sessions", params={"app": login.name}).status_code == 200


def _revoke_key(gateway: Gateway, login: Login) -> None:
    with gateway.node.operator() as operator:
        assert operator.delete(f"/apps/{login.name}/credentials/{login.key}").status_code == 204


@pytest.mark.req("0.39")
@pytest.mark.parametrize("end", [_disable_route, _disable_app, _revoke, _revoke_key])
async def test_a_tunnel_ends_with_the_right_to_it(gateway: Gateway, end: Callable[[Gateway, Login], None]) -> None:
    login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
    token = await asyncio.to_thread(gateway.token, login)
    mine = await _open(gateway, {"Authorization": f"Bearer {token}"})
    other = await asyncio.to_thread(gateway.app, "live")
    theirs = await _open(gateway, other.api_key)
    ending = asyncio.ensure_future(asyncio.to_thread(end, gateway, login))
    await _are_closed(mine)
    await ending
    if end is _disable_route:
        await _are_closed(theirs)
    else:
        await _answers(theirs)
        for socket in theirs:
            await socket.close()
    with pytest.raises(InvalidStatus):
        await _open(gateway, {"Authorization": f"Bearer {token}"})


async def test_a_tunnel_outlives_a_change_of_something_else_and_its_messages_are_limited(gateway: Gateway) -> None:
    login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
    sockets = await _open(gateway, login.api_key)
    await asyncio.to_thread(lambda: gateway.apply(plans={"other": {"per_s": 1, "burst": 1}}))
    await _answers(sockets)
    await sockets[0].send("x" * 101)
    with pytest.raises(ConnectionClosed) as closed:
        await sockets[0].recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    for socket in sockets[1:]:
        await socket.close()


@pytest.mark.req("0.39")
async def test_a_tunnel_ends_with_the_token_that_opened_it(gateway: Gateway) -> None:
    login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
    now = int(time.time())
    claims = {"iss": login.key, "aud": "zhiyun", "iat": now, "exp": now + 6, "jti": "short"}
    token = pyjwt.encode(claims, login.secret, algorithm="HS256")
    short = await _open(gateway, {"Authorization": f"Bearer {token}"})
    lasting = await _open(gateway, login.api_key)
    while time.time() < now + 5:
        await _answers(short)  # that it is in use does not prolong it
    await _are_closed(short)
    assert time.time() >= now + 6
    await _answers(lasting)
    for socket in lasting:
        await socket.close()


@pytest.mark.req("0.39")
async def test_a_tunnel_ends_with_the_secret_that_was_rotated_away(gateway: Gateway) -> None:
    login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
    mine = await _open(gateway, login.api_key)

    def rotate() -> str:
        with gateway.node.operator() as operator:
            done = operator.post(f"/apps/{login.name}/credentials/{login.key}/rotate", json={"overlap_s": 3})
            assert done.status_code == 200, done.text
            gateway.settle()
            return str(done.json()["secret"])

    started = time.monotonic()
    secret = await asyncio.to_thread(rotate)
    renewed = await _open(gateway, {"X-Api-Key": f"{login.key}.{secret}"})
    await _answers(mine)
    await _are_closed(mine)
    assert time.monotonic() - started > 2.5
    await _answers(renewed)
    for socket in renewed:
        await socket.close()


async def test_a_worker_that_drains_says_goodbye_to_both_sides(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", drain_s=20.0)
    try:
        await asyncio.to_thread(gateway.start)
        login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
        sockets = await _open(gateway, login.api_key)
        for worker in gateway.workers():
            os.kill(worker, signal.SIGTERM)
        await _are_closed(sockets, code=1001)
        assert gateway.upstream.close_codes == [1001] * SOCKETS
    finally:
        await asyncio.to_thread(gateway.close)
