"""One POST to a real receiver: signed, to allowed addresses only, bounded."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from config.webhooks import Webhook
from core.secret import Secret
from exchange.posting import Outcome, Poster, signatures
from tests.exchange.receiver import SECRET, receiving

_OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()


def _hook(url: str, **changed: Any) -> Webhook:
    made = Webhook(url, (Secret(SECRET),), ("s",), "app", allow_private=("127.0.0.0/8",), timeout_s=5.0)
    return replace(made, **changed)


async def _post(webhook: Webhook, body: bytes = b'{"data": {}}') -> Outcome:
    poster = Poster(webhook)
    try:
        return await poster.post("msg_1", body, "application/json", now_s=int(datetime.now(UTC).timestamp()))
    finally:
        await poster.close()


@asynccontextmanager
async def _answering(answer: bytes, *, hangs: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends the same bytes to each request, and the requests' first lines."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readline())
        writer.write(answer)
        await writer.drain()
        if hangs:
            await reader.read()  # until the other side goes
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=t0ken", got
    finally:
        server.close()


def test_the_signature_is_the_one_of_the_specification() -> None:
    # The example of the Standard Webhooks reference libraries.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_every_secret_of_a_rotation_signs() -> None:
    async with receiving() as receiver:
        receiver.secrets = (SECRET, _OTHER)
        assert await _post(_hook(receiver.url, secrets=(Secret(_OTHER), Secret(SECRET)))) == Outcome()
        assert (await _post(_hook(receiver.url))).cause == "it answered 401"
        assert (len(receiver.got), receiver.forged) == (1, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001"])
async def test_a_private_address_is_refused_however_it_is_written(host: str) -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        outcome = await _post(_hook(url, allow_private=("10.0.0.0/8",)))
        assert outcome.cause
        assert receiver.got == []
        if host in ("127.0.0.1", "localhost"):
            assert "not public" in outcome.cause


async def test_a_name_that_resolves_to_another_address_each_time_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name's first answer is public; the connection that follows is what is judged."""
    async with receiving() as receiver:
        port = int(receiver.url.rsplit(":", 1)[1].partition("/")[0])
        answers = ["127.0.0.1", "127.0.0.2"]
        asked = []

        async def resolve(self: Any, host: str, *args: Any, **kwargs: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[min(len(asked), 2) - 1], port))]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
        hook = _hook(f"http://rebinding.example:{port}/hook", allow_private=("127.0.0.1/32",))
        assert await _post(hook) == Outcome()
        assert "not public" in (await _post(hook)).cause
        assert len(asked) == 2
        assert len(receiver.got) == 1


async def test_redirects_are_not_followed() -> None:
    async with receiving() as receiver:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {receiver.url}\r\nContent-Length: 0\r\n\r\n"
        async with _answering(head.encode()) as (url, got):
            assert "redirects are not followed" in (await _post(_hook(url))).cause
            assert len(got) == 1
        assert receiver.got == []


async def test_410_and_retry_after_are_understood() -> None:
    async with _answering(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n") as (url, _):
        assert (await _post(_hook(url))).is_gone
    async with _answering(b"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n") as (url, _):
        assert await _post(_hook(url)) == Outcome("it answered 429", retry_after_s=17.0)


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async with _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000, hangs=True) as (url, _):
        async with asyncio.timeout(3):
            assert await _post(_hook(url)) == Outcome()


async def test_a_failure_says_neither_url_nor_secret() -> None:
    async with _answering(b"", hangs=True) as (url, _):
        hung = await _post(_hook(url, timeout_s=0.2))
    gone = await _post(_hook(url))
    async with _answering(b"nonsense\r\n\r\n") as (url, _):
        odd = await _post(_hook(url))
    assert hung.cause == "no answer within 0.2 s"
    for outcome in (gone, odd):
        assert outcome.cause.startswith("it could not be reached")
        assert "t0ken" not in outcome.cause
        assert "127.0.0.1" not in outcome.cause
