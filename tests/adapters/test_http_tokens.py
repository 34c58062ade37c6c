"""OAuth 2.0 client credentials against a real token server, through the adapter that uses them."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from adapters.http_json import HttpJsonConnection, HttpJsonSettings
from adapters.http_tokens import OAuth2Auth
from core.errors import InvalidInput, PlatformError, Unauthenticated, Unavailable
from core.schema import Dataset
from core.secret import Secret
from tests.conformance.adapter_suite import read_transactions

PEOPLE = Dataset(object="/people", key=("id",), fields={"id": "integer"})


@dataclass
class _Service:
    """A token server and a service that takes its tokens."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    answer: dict[str, Any] | None = None
    status: int = 200
    lasts_s: float = 300.0

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((request.headers.get("Authorization", ""), form))
        await asyncio.sleep(0.02)
        if self.answer is not None or self.status != 200:
            return web.json_response(self.answer, status=self.status)
        token = f"token-{len(self.asked)}-of-this-service"
        self.valid.add(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.lasts_s})

    async def people(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.valid:
            return web.json_response({"detail": f"not {token}"}, status=401)
        return web.json_response([{"id": 1}])


@asynccontextmanager
async def _serving(**auth: Any) -> AsyncIterator[tuple[_Service, HttpJsonConnection]]:
    service = _Service()
    application = web.Application()
    application.router.add_post("/token", service.token)
    application.router.add_get("/people", service.people)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    declared = OAuth2Auth(f"{service.url}/token", "crm client", Secret("s3cret:/"), **auth)
    connection = HttpJsonConnection(HttpJsonSettings(service.url, auth=declared))
    try:
        yield service, connection
    finally:
        await connection.close()
        await runner.cleanup()


async def test_one_token_serves_many_calls_and_overlapping_first_ones() -> None:
    async with _serving(scope="people:read") as (service, source):
        await asyncio.gather(*(read_transactions(source, PEOPLE) for _ in range(10)))
        await read_transactions(source, PEOPLE)
        ((authorization, form),) = service.asked
    assert form == {"grant_type": "client_credentials", "scope": "people:read"}
    pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert pair == "crm%20client:s3cret%3A%2F", "each half is form-encoded (RFC 6749 §2.3.1)"


async def test_id_and_secret_in_the_form_where_the_server_wants_them() -> None:
    async with _serving(in_form=True) as (service, source):
        await read_transactions(source, PEOPLE)
        ((authorization, form),) = service.asked
    assert authorization == ""
    assert (form["client_id"], form["client_secret"]) == ("crm client", "s3cret:/")


async def test_a_token_near_its_end_and_one_that_was_revoked_are_replaced() -> None:
    async with _serving() as (service, source):
        service.lasts_s = 1.0
        await read_transactions(source, PEOPLE)
        await asyncio.sleep(1.05)
        service.lasts_s = 300.0
        await read_transactions(source, PEOPLE)
        assert len(service.asked) == 2
        service.valid.clear()
        await read_transactions(source, PEOPLE)
        assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "s3cret:/ is wrong"},
            Unauthenticated,
            "refuses client crm client: HTTP 401",
        ),
        (400, {"error": "invalid_scope"}, Unauthenticated, r"HTTP 400 \(invalid_scope\)"),
        (500, {}, Unavailable, "the token server answers HTTP 500"),
        (200, {"token": "x"}, Unavailable, "no token"),
        (200, {"access_token": "x", "token_type": "mac"}, Unavailable, "not a bearer token"),
        (200, {"access_token": "x\r\nX-Evil: 1"}, Unavailable, "not a bearer token"),
        (200, {"access_token": "x", "expires_in": "soon"}, Unavailable, "no token"),
    ],
)
async def test_what_a_token_server_may_answer_instead(status: int, answer: Any, kind: type[PlatformError], words: str) -> None:
    async with _serving() as (service, source):
        service.status, service.answer = status, answer
        with pytest.raises(kind, match=words) as caught:
            await read_transactions(source, PEOPLE)
        assert "s3cret" not in caught.value.detail


async def test_a_service_that_refuses_every_token_is_unauthenticated_and_shows_none() -> None:
    async with _serving() as (service, source):
        service.answer = {"access_token": "a-token-of-another-service", "expires_in": 300}
        with pytest.raises((Unauthenticated, InvalidInput)) as caught:
            await read_transactions(source, PEOPLE)
        assert len(service.asked) == 2
        assert "a-token-of-another-service" not in caught.value.detail
