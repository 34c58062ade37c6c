"""Key sets from a real HTTP server: fetched in the background, refreshed on demand but never in a storm, old keys kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from config.model import Issuer
from core.errors import Unavailable
from core.supervise import Tasks
from gateway.access.key_sets import MAX_BYTES, MAX_KEYS, KeySet, KeySets, fetched, keys_of, usable
from registry.tokens import jwk
from tests.gateway.access_desk import PARTNER, ec_jwk

_PAUSE_S = 0.2


class _Server:
    """`answer` is sent to each request; `asked` counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""
        self.answer: Callable[[], web.StreamResponse | Awaitable[web.StreamResponse]] = lambda: web.Response(status=500)

    async def serve(self, _: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        answer = self.answer()
        return await answer if isinstance(answer, Awaitable) else answer

    def give(self, *jwks: dict[str, Any]) -> None:
        body = msgspec.json.encode({"keys": jwks})
        self.answer = lambda: web.Response(body=body, content_type="application/jwk-set+json")


@asynccontextmanager
async def _serving() -> AsyncIterator[_Server]:
    server = _Server()
    runner = web.ServerRunner(web.Server(server.serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield server
    await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[_Server]:
    async with _serving() as running:
        yield running


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    failures: list[tuple[str, BaseException]] = []
    running = Tasks(lambda name, error: failures.append((name, error)))
    yield running
    await running.close()
    assert failures == []


def _issuer(url: str | None, **changed: Any) -> Issuer:
    return Issuer(**{"issuer": "i", "audience": "a", "algorithm": "ES256", "jwks_url": url, **changed})


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)


K1, K2 = ec_jwk(PARTNER, "k1"), ec_jwk(PARTNER, "k2")


async def test_keys_come_in_the_background_and_a_new_one_is_fetched_when_a_token_names_it(server: _Server, tasks: Tasks) -> None:
    server.give(K1)
    keys = KeySets(tasks, pause_s=_PAUSE_S).reload({"login": _issuer(server.url)})["login"]
    assert keys.find("k1") is None  # not there yet, and nobody waits
    await _until(lambda: keys.find("k1") is not None)
    server.give(K1, K2)
    assert keys.find("k2") is None
    await _until(lambda: keys.find("k2") is not None)
    assert keys.find("k1") is not None


async def test_a_flood_of_unknown_kids_is_no_storm_of_fetches(server: _Server, tasks: Tasks) -> None:
    server.give(K1)
    keys = KeySets(tasks, pause_s=_PAUSE_S).reload({"login": _issuer(server.url)})["login"]
    await _until(lambda: len(keys) == 1)
    started = asyncio.get_running_loop().time()
    asked = server.asked
    while (passed := asyncio.get_running_loop().time() - started) < 5 * _PAUSE_S or server.asked == asked:
        for number in range(100):
            assert keys.find(f"forged-{number}") is None
        await asyncio.sleep(0.005)
    assert 1 <= server.asked - asked <= passed / _PAUSE_S + 1


async def test_without_wishes_it_is_asked_again_after_its_time(server: _Server, tasks: Tasks) -> None:
    server.give(K1)
    keys = KeySets(tasks, pause_s=0.01).reload({"login": _issuer(server.url, refresh_s=0.05)})["login"]
    await _until(lambda: len(keys) == 1)
    server.give(K2)
    await _until(lambda: keys.find("k2") is not None)
    assert keys._keys.keys() == {"k2"}  # a key that the issuer has taken away is gone


async def _big() -> web.StreamResponse:
    return web.Response(body=b"x" * (MAX_BYTES + 1))


_BAD: dict[str, Callable[[], Any]] = {
    "a failure": lambda: web.Response(status=503),
    "a redirect": lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    "no JSON": lambda: web.Response(body=b"<html>"),
    "no key set": lambda: web.json_response({"keys": "none"}),
    "no key that fits": lambda: web.json_response({"keys": [jwk(Ed25519PrivateKey.generate().public_key())]}),
    "too much": _big,
    "deep nesting": lambda: web.Response(body=b'{"keys":' + b"[" * 100_000),
}


@pytest.mark.parametrize("name", _BAD)
async def test_a_fetch_that_fails_keeps_the_old_keys_and_says_so(server: _Server, tasks: Tasks, name: str) -> None:
    server.give(K1)
    keys = KeySets(tasks, pause_s=0.02).reload({"login": _issuer(server.url, refresh_s=0.05)})["login"]
    await _until(lambda: len(keys) == 1)
    with capture_logs() as logs:
        server.answer = _BAD[name]
        asked = server.asked
        await _until(lambda: server.asked >= asked + 3)
    assert keys.find("k1") is not None
    assert {"host": "127.0.0.1", "known": 1, "log_level": "warning"}.items() <= logs[0].items()
    server.give(K2)
    await _until(lambda: keys.find("k2") is not None)


async def test_an_issuer_that_is_not_there_is_tried_less_and_less_often(tasks: Tasks, free_port: int) -> None:
    loop = asyncio.get_running_loop()
    with capture_logs() as logs:
        began = loop.time()
        keys = KeySets(tasks, pause_s=0.02).reload({"login": _issuer(f"http://127.0.0.1:{free_port}/", refresh_s=0.3)})["login"]
        await _until(lambda: len(logs) >= 6)
        assert loop.time() - began > 0.55  # at 0, 20, 60, 140, 300 ms, then every 300
    assert len(keys) == 0


async def test_keys_outlive_a_reload_and_end_with_their_issuer(server: _Server, tasks: Tasks) -> None:
    server.give(K1)
    sets = KeySets(tasks, pause_s=_PAUSE_S)
    first = sets.reload({"login": _issuer(server.url)})["login"]
    await _until(lambda: len(first) == 1)
    both = sets.reload({"login": _issuer(server.url), "again": _issuer(server.url, audience="b")})
    assert both["login"] is both["again"] is first
    assert (server.asked, len(tasks)) == (1, 1)
    assert sets.reload({"login": _issuer(server.url, enabled=False)}) == {}
    await _until(lambda: len(tasks) == 0)


async def test_declared_keys_need_no_fetch(tasks: Tasks) -> None:
    keys = KeySets(tasks).reload({"login": _issuer(None, keys=(K1,))})["login"]
    assert keys.find("k1") is keys.find("")
    assert keys.find("k2") is None
    assert len(tasks) == 0


def test_a_token_without_kid_is_taken_for_the_only_key_but_never_for_one_of_two() -> None:
    assert KeySet(usable([K1], "ES256")).find("") is not None
    assert KeySet(usable([K1, K2], "ES256")).find("") is None


def test_keys_that_do_not_fit_are_passed_over_and_the_number_is_bounded() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"kid": 7},
        {**K1, "use": "enc"},
        {**K1, "alg": "ES384"},
        {**K1, "crv": "P-384"},
        {**K1, "kid": None},
        K1,
    ]
    assert usable(odd, "ES256").keys() == {"k1"}
    many = [{**K1, "kid": str(number)} for number in range(MAX_KEYS + 5)]
    assert len(usable(many, "ES256")) == MAX_KEYS
    with pytest.raises(Unavailable, match="no key for RS256"):
        keys_of(msgspec.json.encode({"keys": [K1]}), "RS256")


async def test_a_compressed_answer_is_not_unpacked(server: _Server) -> None:
    server.answer = lambda: web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert await fetched(server.url) == b"\x1f\x8b"
