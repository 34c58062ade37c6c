"""The stage: the one means that a request uses, in the words that the caller needs where it is refused."""

import math
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from core.errors import InvalidInput, PlatformError, Unauthenticated
from gateway.access.api_key import ApiKey
from gateway.access.certificate import ClientCertificate
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.pipe import Pipe, run
from gateway.problems import problem
from gateway.stage import Request, Response, Stage
from gateway.stages.authenticate import Authenticate
from gateway.tokens import Tokens
from tests.conformance.stage_suite import StageSuite
from tests.gateway.access_desk import SHOP_KEY, SHOP_SECRET, app_token, basic, bearer, credentials, request_of, snapshot_of
from tests.gateway.desk import Desk, header, json_of, told_pairs

_NOON = 1_795_000_000  # a clock that stands: a long run of all tests is no reason for a token to expire


class _Signature:
    """A means that needs the body and has to wait, as one with a shared replay store."""

    kind: Kind = "signature"
    challenge = ""

    def is_used(self, request: Request) -> bool:
        return "signature" in request.headers

    def needs_body(self, request: Request) -> bool:
        return True  # it is asked only where its credential is there

    def identify(self, request: Request) -> Awaitable[Identity]:
        async def later() -> Identity:
            if request.headers["signature"] != "good":
                raise Unauthenticated("the signature is wrong")
            assert request.content is not None
            return Identity("shop", SHOP_KEY, means="signature")

        return later()

    def holds_until(self, request: Request) -> float:
        return 77.0


def _all() -> list[Means]:
    return [bearer(now=lambda: _NOON), ApiKey(credentials()), _Signature(), ClientCertificate({})]


_SENT = {
    "bearer": {"authorization": f"Bearer {app_token(exp=_NOON + 300, iat=_NOON)}"},
    "key": {"x-api-key": f"{SHOP_KEY}.{SHOP_SECRET}"},
    "signature": {"signature": "good"},
}


async def _app(request: Request) -> Response:
    return Response(200, body=f"{request.identity.app} by {request.identity.means}".encode())


async def _answer(means: Sequence[Means], headers: dict[str, str], **changed: Any) -> Response:
    """As a listener answers it."""
    request = request_of("POST", "/", headers=headers, body=b"{}")
    for name, value in changed.items():
        setattr(request, name, value)
    try:
        response = await run(Pipe("test", [Authenticate(means)], handler=_app), request)
    except PlatformError as error:
        response = problem(error, request)
    response.headers.extend(told_pairs(request))
    return response


def _challenges(response: Response) -> list[str]:
    return [value for name, value in response.headers if name == "WWW-Authenticate"]


@pytest.mark.parametrize("kind", _SENT)
async def test_the_means_that_is_used_says_who_it_is(kind: str) -> None:
    response = await _answer(_all(), _SENT[kind])
    assert (response.status, response.body.decode()) == (200, f"shop by {kind}")
    assert _challenges(response) == []


@pytest.mark.parametrize(("one", "other"), [("bearer", "key"), ("bearer", "signature"), ("key", "signature")])
async def test_two_kinds_of_credentials_are_refused_even_if_both_are_right(one: str, other: str) -> None:
    for means in (_all(), _all()[::-1]):
        response = await _answer(means, _SENT[one] | _SENT[other])
        assert (response.status, json_of(response)["code"]) == (400, "credentials_ambiguous")


async def test_a_kind_that_the_route_does_not_take_is_not_looked_at() -> None:
    response = await _answer([ApiKey(credentials())], _SENT["bearer"] | _SENT["key"])
    assert response.body == b"shop by key"
    refused = await _answer([ApiKey(credentials())], _SENT["bearer"])
    assert (refused.status, json_of(refused)["code"]) == (401, "token_missing")
    assert "API key" in json_of(refused)["detail"]
    assert "token (" not in json_of(refused)["detail"]


async def test_without_credentials_the_caller_is_told_every_way() -> None:
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Token x"}):
        response = await _answer(_all(), headers)
        assert (response.status, json_of(response)["code"]) == (401, "token_missing")
        assert "Authorization: Bearer" in json_of(response)["detail"]
        assert _challenges(response) == [
            'DPoP algs="EdDSA ES256", Bearer realm="zhiyun"',
            'Basic realm="zhiyun", charset="UTF-8"',
            'Certificate realm="zhiyun"',
        ]


async def test_a_wrong_token_is_called_that_in_the_challenge() -> None:
    response = await _answer(_all(), {"authorization": "Bearer x"})
    assert (response.status, json_of(response)["code"]) == (401, "token_invalid")
    assert _challenges(response)[0].endswith('Bearer realm="zhiyun", error="invalid_token"')
    wrong_key = await _answer(_all(), {"x-api-key": "x"})
    assert json_of(wrong_key)["code"] == "key_invalid"
    assert not any("error=" in each for each in _challenges(wrong_key))
    waiting = await _answer(_all(), {"signature": "bad"})
    assert (waiting.status, len(_challenges(waiting))) == (401, 3)


async def test_a_challenge_that_a_means_has_told_itself_is_left_alone() -> None:
    class Told(_Signature):
        def identify(self, request: Request) -> Awaitable[Identity]:
            request.tell("WWW-Authenticate", 'DPoP error="use_dpop_nonce"')
            raise Unauthenticated("not this time")

    assert _challenges(await _answer([Told()], _SENT["signature"])) == ['DPoP error="use_dpop_nonce"']


async def test_a_certificate_of_the_connection_counts_where_nothing_else_is_sent() -> None:
    by_header = await _answer(_all()[::-1], _SENT["bearer"], certificate=b"of the connection")
    assert by_header.body == b"shop by bearer"
    alone = await _answer(_all(), {}, certificate=b"of the connection")
    assert (alone.status, json_of(alone)["code"]) == (401, "certificate_unknown")


def test_the_body_is_asked_for_only_where_it_takes_part() -> None:
    stage = Authenticate(_all(), max_body_bytes=77)
    signed = {"signature": "good"}
    assert stage.wants_body(request_of("POST", "/", headers=signed, body=b"x")) == 77
    assert stage.wants_body(request_of("POST", "/", headers=signed)) == 0
    assert stage.wants_body(request_of("POST", "/", headers=_SENT["bearer"], body=b"x")) == 0
    chunked = request_of("POST", "/", headers=signed)
    chunked.body_length = -1
    assert stage.wants_body(chunked) == 77


async def test_a_credential_holds_as_long_as_the_means_that_let_it_in_says() -> None:
    stage = Authenticate(_all())
    for kind, until in (("bearer", _NOON + 300), ("key", math.inf), ("signature", 77.0)):
        request = request_of("GET", "/", headers=_SENT[kind])
        request.content = b""
        waits = stage.on_request(request)
        if waits is not None and not isinstance(waits, Response):
            await waits
        assert stage.holds_until(request) == until
        if kind != "key":
            with pytest.raises(Unauthenticated, match="needs an API key"):
                Authenticate([ApiKey(credentials())]).holds_until(request)


def test_what_does_not_wait_is_decided_at_once() -> None:
    request = request_of("GET", "/", headers=_SENT["bearer"])
    assert Authenticate(_all()).on_request(request) is None
    assert request.identity.app == "shop"
    with pytest.raises(InvalidInput):
        Authenticate(_all()).on_request(request_of("GET", "/", headers=_SENT["bearer"] | _SENT["key"]))


class TestConformance(StageSuite):
    def stage(self) -> Stage:
        return Authenticate(_all())

    def admitted(self) -> Request:
        return request_of("GET", "/", headers={"authorization": basic(SHOP_KEY, SHOP_SECRET)})

    def refused(self) -> Request:
        return request_of("GET", "/", headers={"authorization": "Bearer bad"})


class TestConformanceOfOneThatWaits(TestConformance):
    def admitted(self) -> Request:
        return request_of("GET", "/", headers=_SENT["signature"])

    def refused(self) -> Request:
        return request_of("GET", "/", headers={"signature": "bad"})


@pytest.mark.req("0.38")
async def test_every_data_service_wants_a_token(desk: Desk) -> None:
    for path in ("/v1/customers", "/v1/customers/K1", "/v1/customers/changes", "/v1/points/M1"):
        response = await desk.ask("GET", path, app=None)
        assert (response.status, json_of(response)["code"]) == (401, "token_missing")
        assert header(response, "WWW-Authenticate")
    assert (await desk.ask("GET", "/healthz", app=None)).status == 200
    assert (await desk.ask("GET", "/v1/customers/K1")).status == 200


def test_a_remembered_token_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Authenticate([bearer()])
    token = Tokens(snapshot_of()).make("shop", SHOP_KEY, ["customers:read"], session="s")
    checked: list[bytes] = []
    whole = Tokens.read

    def read(self: Tokens, given: Any, now: float) -> Any:
        checked.append(given.signed)
        return whole(self, given, now)

    monkeypatch.setattr(Tokens, "read", read)
    for _ in range(1000):
        assert stage.on_request(request_of("GET", "/", headers={"authorization": f"Bearer {token}"})) is None
    assert len(checked) == 1
