"""Redirects, bounds and words of errors, over real sockets."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from adapters.http_client import Bounds, HTTPClient
from core.errors import InvalidInput, NotConnected, Unavailable
from core.secret import Secret
from tests.servers.certificate import self_signed


@asynccontextmanager
async def client_of(application: web.Application, *, max_body_bytes: int = 100_000) -> AsyncIterator[tuple[HTTPClient, str]]:
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = HTTPClient(url, {"X-Key": Secret("key-of-ours")}, Bounds(1, 2, max_body_bytes))
    try:
        yield client, url
    finally:
        await client.close()
        await runner.cleanup()


def application() -> web.Application:
    async def here(request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_compression()
        await response.prepare(request)
        for _ in range(100):
            await response.write(bytes(1_000_000))
        return response

    made = web.Application()
    made.router.add_get("/here", here)
    made.router.add_route("*", "/moved", moved)
    made.router.add_get("/large", large)
    return made


async def test_redirects_are_followed_on_the_same_host_only() -> None:
    async with client_of(application()) as (client, url):
        assert (await client.send("GET", f"{url}/moved?to=/here")).body == b"here"
        for target in ("http://localhost/here", "//127.0.0.1:1/here", "file:///etc/passwd"):
            with pytest.raises(Unavailable, match=r"is redirected to .*not followed"):
                await client.send("GET", f"{url}/moved?to={target}")
        with pytest.raises(Unavailable, match="a POST is redirected"):
            await client.send("POST", f"{url}/moved?to=/here", b"{}")
        with pytest.raises(Unavailable, match="more than 3 times"):
            await client.send(
                "GET",
                f"{url}/moved?to=/moved%3Fto%3D%252Fmoved%253Fto%253D%25252Fmoved%25253Fto%25253D%2525252Fmoved%2525253Fto%2525253D%252525252Fhere",
            )


async def test_a_compressed_flood_is_stopped_at_the_bound() -> None:
    async with client_of(application()) as (client, url):
        with pytest.raises(Unavailable, match=r"larger than 100000 bytes"):
            await client.send("GET", f"{url}/large")


async def test_headers_that_http_does_not_allow_are_invalid_input() -> None:
    async with client_of(application()) as (client, url):
        with pytest.raises(InvalidInput, match="does not allow"):
            await client.send("GET", f"{url}/here", headers={"SOAPAction": "a\r\nX-Other: b"})


async def test_a_certificate_that_is_not_trusted_is_not_connected(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    runner = web.AppRunner(application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    client = HTTPClient(url, {}, Bounds(1, 2, 1000))
    with pytest.raises(NotConnected, match="certificate is not trusted"):
        await client.send("GET", url)
    await client.close()
    await runner.cleanup()
