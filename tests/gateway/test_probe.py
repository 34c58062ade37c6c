"""Probes against real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from config.upstreams import ActiveHealth, Endpoint, Tls, Upstream
from core.errors import Unavailable
from gateway.http1.message import made_request
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.probe import http_fetch, probe_loop
from gateway.upstream.upstream import UpstreamState


class Server:
    """Says `answer` to whoever connects, and keeps what was asked."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        self.asked = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
            if not self.answer:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield made


def no_tls(_: Tls) -> ssl.SSLContext:
    raise AssertionError("plain HTTP needs no TLS")


FETCH = http_fetch(Tls(), no_tls)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 503 Down\r\n\r\nx", 503),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 302),
        (b"HTTP/1.1 204\r\n\r\n", 204),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"HTTP/1.1 abc\r\n", None),
        (b"HTTP/1.1 " + b"x" * 5000 + b"\r\n", None),
        (b"HTTP/1.1 103 Early", None),
        (b"", None),
    ],
)
async def test_the_status_of_the_answer(answer: bytes, status: int | None) -> None:
    async with server() as upstream:
        upstream.answer = answer
        assert await FETCH(EndpointState(Endpoint(upstream.url)), "/healthz?deep=1", 0.3) == status
        port = upstream.url.rpartition(":")[2]
        assert upstream.asked.startswith(f"GET /healthz?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode())


async def test_no_connection_is_no_answer(free_port: int) -> None:
    assert await FETCH(EndpointState(Endpoint(f"http://127.0.0.1:{free_port}")), "/", 0.3) is None


async def test_tls_that_cannot_be_set_up_is_no_answer() -> None:
    def broken(_: Tls) -> ssl.SSLContext:
        raise FileNotFoundError("no such ca_file")

    async with server() as upstream:
        endpoint = EndpointState(Endpoint(upstream.url.replace("http://", "https://")))
        assert await http_fetch(Tls(), broken)(endpoint, "/", 0.3) is None
        assert await http_fetch(Tls(), lambda _: ssl.create_default_context())(endpoint, "/", 0.3) is None


async def test_an_endpoint_that_fails_its_probes_gets_no_requests_until_it_answers_again() -> None:
    told: list[str] = []
    async with server() as good, server() as bad:
        declared = ActiveHealth(path="/ready", unhealthy=2, healthy=2, timeout_s=0.3)
        upstream = UpstreamState("orders", Upstream(endpoints=(Endpoint(good.url), Endpoint(bad.url)), active=declared))
        rounds: list[set[str]] = []

        async def pause(seconds: float) -> None:
            rounds.append({upstream.choose(made_request("GET", "/")).url for _ in range(8)})
            bad.answer = b"HTTP/1.1 500 Oh\r\n\r\n" if len(rounds) < 3 else b"HTTP/1.1 200 OK\r\n\r\n"
            if len(rounds) == 5:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await probe_loop(upstream, declared, FETCH, pause=pause, report=told.append)
        both = {good.url, bad.url}
        assert rounds == [both, both, {good.url}, {good.url}, both]
    assert told == [
        f"upstream orders: {bad.url} is down: /ready answers 500",
        f"upstream orders: {bad.url} is up again: /ready answers 200",
    ]


async def test_where_every_endpoint_is_down_requests_are_refused_at_once(free_port: int) -> None:
    declared = ActiveHealth(unhealthy=1, timeout_s=0.3)
    upstream = UpstreamState("orders", Upstream(endpoints=(Endpoint(f"http://127.0.0.1:{free_port}"),), active=declared))

    async def pause(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await probe_loop(upstream, declared, FETCH, pause=pause, report=print)
    with pytest.raises(Unavailable) as caught:
        upstream.choose(made_request("GET", "/"))
    assert caught.value.specific_code == "upstream_down"
