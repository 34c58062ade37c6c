"""The bearer token of a request; the memo is bounded and no token outlives its expiry in it."""

import pytest

from core.errors import Unauthenticated
from core.http import Request, Response
from gateway.identity import Identity, identity_of
from gateway.stages.authenticate import Authenticate
from tests.gateway.desk import Desk, header, json_of, request_of


class _Verifier:
    """Counts how often a token is really verified; each is valid until `expires`."""

    def __init__(self, expires: float) -> None:
        self.expires = expires
        self.verified: list[str] = []

    def __call__(self, token: str) -> tuple[Identity, float]:
        if token == "wrong":
            raise Unauthenticated("no", code="token_invalid")
        self.verified.append(token)
        return Identity(token, f"ak_{token}", frozenset()), self.expires


class _Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _app(request: Request) -> Response:
    return Response(200, [], identity_of(request).app.encode())


async def _call(stage: Authenticate, authorization: str) -> str:
    return (await stage(_app)(request_of("GET", "/", headers={"authorization": authorization}))).body.decode()


async def test_a_repeated_token_is_verified_once_and_expires_on_time() -> None:
    verifier, time = _Verifier(expires=1060.0), _Time()
    stage = Authenticate(verifier, time)
    assert [await _call(stage, "Bearer shop"), await _call(stage, "bearer  shop ")] == ["shop", "shop"]
    assert verifier.verified == ["shop"]
    time.now = 1059.9
    assert await _call(stage, "Bearer shop") == "shop"
    time.now = 1060.0
    with pytest.raises(Unauthenticated) as caught:
        await _call(stage, "Bearer shop")
    assert caught.value.specific_code == "token_expired"


async def test_a_token_that_has_expired_already_is_never_let_in() -> None:
    time = _Time()
    with pytest.raises(Unauthenticated) as caught:
        await _call(Authenticate(_Verifier(expires=999.0), time), "Bearer shop")
    assert caught.value.specific_code == "token_expired"


async def test_the_memo_is_bounded_and_keeps_no_refused_token() -> None:
    verifier = _Verifier(expires=2000.0)
    stage = Authenticate(verifier, _Time())
    for number in range(5000):
        await _call(stage, f"Bearer t{number}")
    assert len(stage._memo) == 4096
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await _call(stage, "Bearer wrong")
    assert "wrong" not in stage._memo


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "BearerX x"])
async def test_without_a_bearer_token_the_caller_is_told_how(authorization: str) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer") as caught:
        await _call(Authenticate(_Verifier(2000.0), _Time()), authorization)
    assert caught.value.specific_code == "token_missing"


def test_a_handler_behind_no_stage_knows_nobody() -> None:
    with pytest.raises(Unauthenticated):
        identity_of(request_of("GET", "/"))


@pytest.mark.req("0.38")
async def test_every_data_service_wants_a_token(desk: Desk) -> None:
    for path in ("/v1/customers", "/v1/customers/K1", "/v1/customers/changes", "/v1/points/M1"):
        response = await desk.ask("GET", path, app=None)
        assert (response.status, json_of(response)["code"]) == (401, "token_missing")
        assert header(response, "WWW-Authenticate")
    assert (await desk.ask("GET", "/healthz", app=None)).status == 200
