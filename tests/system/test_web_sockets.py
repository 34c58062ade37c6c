"""WebSockets through a node of two workers, and how they end (issue 3: closed when the route or the app is disabled)."""

import asyncio
from collections.abc import Callable

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


async def _are_closed(sockets: list[ClientConnection]) -> None:
    """From the other side, while they are idle."""
    for socket in sockets:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 30)


def _disable_route(gateway: Gateway, login: Login) -> None:
    gateway.apply(routes=_routes(enabled=False))


def _disable_app(gateway: Gateway, login: Login) -> None:
    with gateway.node.operator() as operator:
        assert operator.patch(f"/apps/{login.name}", json={"enabled": False}).status_code == 200


def _revoke(gateway: Gateway, login: Login) -> None:
    with gateway.node.operator() as operator:
        assert operator.delete("/app-sessions", params={"app": login.name}).status_code == 200


@pytest.mark.req("0.39")
@pytest.mark.parametrize("end", [_disable_route, _disable_app, _revoke])
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
        for socket in theirs:
            await socket.send("still here")
            assert await socket.recv() == "still here"
            await socket.close()
    with pytest.raises(InvalidStatus):
        await _open(gateway, {"Authorization": f"Bearer {token}"})


async def test_a_tunnel_outlives_a_change_of_something_else_and_its_messages_are_limited(gateway: Gateway) -> None:
    login = await asyncio.to_thread(lambda: gateway.app("live", routes=_routes()))
    sockets = await _open(gateway, login.api_key)
    await asyncio.to_thread(lambda: gateway.apply(plans={"other": {"per_s": 1, "burst": 1}}))
    for socket in sockets:
        await socket.send("still here")
        assert await socket.recv() == "still here"
    await sockets[0].send("x" * 101)
    with pytest.raises(ConnectionClosed) as closed:
        await sockets[0].recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    for socket in sockets[1:]:
        await socket.close()
