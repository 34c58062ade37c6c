"""Endpoints found by DNS and by a registry's document, the latter from a real HTTP server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from config.upstreams import Discovery, Endpoint, Upstream
from core.errors import InvalidInput, PlatformError, Unavailable
from gateway.upstream.discovery import MAX_BYTES, MAX_ENDPOINTS, Follower, addresses, discovery_loop, find, parsed
from gateway.upstream.upstream import UpstreamState


@asynccontextmanager
async def registry(answer: Callable[[web.Request], web.StreamResponse]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    app = web.Application()
    app.router.add_get("/{rest:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/orders"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def test_a_name_gives_each_of_its_addresses() -> None:
    found = await addresses("localhost:8080", "http")
    assert Endpoint("http://127.0.0.1:8080") in found
    assert found == sorted(found, key=lambda each: each.url)
    assert await addresses("[::1]:8443", "https") == [Endpoint("https://[::1]:8443")]


async def _resolution_fails(monkeypatch: pytest.MonkeyPatch, errno: int) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(errno, "as the test wants")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)


async def test_an_unknown_name_has_no_address_and_a_silent_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    await _resolution_fails(monkeypatch, socket.EAI_NONAME)
    assert await addresses("nobody.example:80", "http") == []
    await _resolution_fails(monkeypatch, socket.EAI_AGAIN)
    with pytest.raises(Unavailable):
        await addresses("nobody.example:80", "http")


async def test_a_registry_gives_a_document() -> None:
    body = {"endpoints": [{"url": "http://10.0.0.1:80", "weight": 3}, {"url": "http://10.0.0.2:80"}]}
    async with registry(lambda _: web.json_response(body)) as url:
        assert await find(Discovery(url=url), print) == [Endpoint("http://10.0.0.1:80", weight=3), Endpoint("http://10.0.0.2:80")]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=503),
        lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}),  # followed nowhere
        lambda _: web.Response(body=b'{"endpoints": ['),
        lambda _: web.Response(body=b"[]"),
        lambda _: web.Response(body=b'{"endpoints": "many"}'),
        lambda _: web.Response(body=b'{"endpoints": [' + b" " * MAX_BYTES + b"]}"),
    ],
)
async def test_what_is_no_document_is_no_answer(answer: Callable[[web.Request], web.StreamResponse]) -> None:
    async with registry(answer) as url:
        with pytest.raises(PlatformError):
            await find(Discovery(url=url), print)


async def test_nobody_listens_or_answers(free_port: int) -> None:
    with pytest.raises(Unavailable):
        await find(Discovery(url=f"http://127.0.0.1:{free_port}/"), print)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", free_port)
    async with server:
        with pytest.raises(Unavailable):
            await find(Discovery(url=f"http://127.0.0.1:{free_port}/", every_s=0.1), print)
        await asyncio.sleep(0.05)


def test_bad_entries_are_left_out_and_told() -> None:
    entries: list[Any] = [
        {"url": "http://10.0.0.1:80"},
        {"url": "ftp://x"},
        {"url": "http://y:1", "weigth": 2},
        7,
        {"url": "http://z:70000"},
    ]
    told: list[str] = []
    assert parsed(json.dumps({"endpoints": entries}).encode(), told.append) == [Endpoint("http://10.0.0.1:80")]
    assert [text.partition("document: ")[2].partition(":")[0] for text in told] == [
        "endpoints.1.url",
        "endpoints.2.weigth",
        "endpoints.3",
        "endpoints.4.url",
    ]
    with pytest.raises(InvalidInput):
        parsed(json.dumps({"endpoints": entries[1:]}).encode(), told.append)


def test_a_document_without_end_is_cut_and_its_mistakes_are_counted() -> None:
    told: list[str] = []
    good = [{"url": f"http://h{n}:80"} for n in range(MAX_ENDPOINTS + 5)]
    assert len(parsed(json.dumps({"endpoints": good}).encode(), told.append)) == MAX_ENDPOINTS
    parsed(json.dumps({"endpoints": [{}] * 50 + good[:1]}).encode(), told.append)
    assert len(told) == 1 + 5 + 1
    assert told[0].endswith("5 too many")
    assert "50 bad entries" in told[-1]


def test_failures_and_a_short_nothing_leave_the_endpoints_as_they_are() -> None:
    told: list[str] = []
    upstream = UpstreamState("orders", Upstream(discovery=Discovery(dns="orders:80")))
    follower = Follower(upstream, told.append)

    def urls() -> list[str]:
        return [each.url for each in upstream.endpoints]

    assert follower.found([Endpoint("http://a:80"), Endpoint("http://b:80")]) == []
    for _ in range(100):
        follower.failed("timeout")
    assert urls() == ["http://a:80", "http://b:80"]
    assert len(told) == 1
    follower.found([])
    follower.found([])
    follower.failed("timeout")  # the count begins anew
    follower.found([])
    follower.found([])
    assert urls() == ["http://a:80", "http://b:80"]
    assert [each.url for each in follower.found([])] == ["http://a:80", "http://b:80"]
    assert urls() == []
    assert follower.found([Endpoint("http://a:80")]) == []
    assert urls() == ["http://a:80"]


async def test_the_loop_goes_on_after_a_failure_and_gives_back_what_is_gone() -> None:
    declared = Discovery(dns="orders:443", scheme="https", every_s=7)
    upstream = UpstreamState("orders", Upstream(endpoints=(Endpoint("http://own:80"),), discovery=declared))
    answers: list[Any] = [[Endpoint("https://10.0.0.1:443")], Unavailable("down"), [Endpoint("https://10.0.0.2:443")]]
    removed: list[str] = []
    pauses: list[float] = []

    async def ask(_: Discovery, __: Any) -> list[Endpoint]:
        answer = answers.pop(0)
        if isinstance(answer, PlatformError):
            raise answer
        found: list[Endpoint] = answer
        return found

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if not answers:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await discovery_loop(
            upstream, declared, lambda gone: removed.extend(each.url for each in gone), pause=pause, report=print, ask=ask
        )
    assert pauses == [7, 7, 7]
    assert removed == ["https://10.0.0.1:443"]
    assert [(each.url, each.server_name, each.authority) for each in upstream.endpoints] == [
        ("http://own:80", "own", b"own:80"),
        ("https://10.0.0.2:443", "orders", b"orders:443"),  # its certificate is the name's
    ]
