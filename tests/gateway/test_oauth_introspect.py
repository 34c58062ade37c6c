"""`POST /oauth2/introspect` (RFC 7662): what a token says, told only to those whose it is."""

import time

import pytest

from core.clock import epoch_ms
from core.sessions import Revocation
from gateway.oauth.exchange import EXCHANGE
from gateway.tokens import AUDIENCE
from registry.registry import Registry
from tests.gateway.desk import json_of
from tests.gateway.oauth_desk import GRANT, ISSUER, OAuth, opened

INACTIVE = {"active": False}


async def _asked(oauth: OAuth, token: str, client: str = "shop", remote: str = "10.9.1.1") -> dict[str, object]:
    response = await oauth.post("introspect", {"token": token}, client, remote=remote)
    assert response.status == 200
    found: dict[str, object] = json_of(response)
    return found


async def test_an_app_learns_what_its_token_says(oauth: OAuth) -> None:
    token = await oauth.token(scope="customers:read points:read")
    session = (await oauth.listed("shop"))[0]
    found = await _asked(oauth, token)
    assert abs(float(str(found.pop("iat"))) - time.time()) < 10
    assert abs(float(str(found.pop("exp"))) - session.expires_ms / 1000) <= 1
    assert found == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "client_id": oauth.issued["shop"].key,
        "scope": "customers:read points:read",
        "jti": session.id,
    }


async def test_a_bound_token_of_a_device_tells_both(oauth: OAuth) -> None:
    key = oauth.keys["till-1"]
    answer = json_of(await oauth.post("token", GRANT, dpop=key.proof()))
    found = await _asked(oauth, answer["access_token"])
    assert (found["token_type"], found["cnf"], found["device"]) == ("DPoP", {"jkt": key.jkt}, "till-1")


async def test_a_proxy_learns_about_the_tokens_of_its_apps(oauth: OAuth) -> None:
    exchanged = json_of(await oauth.post("token", {"grant_type": EXCHANGE, "audience": "broker"}, "partner"))["access_token"]
    own = await oauth.token("broker")
    assert (await _asked(oauth, exchanged, "partner"))["act"] == {"sub": "partner"}
    assert (await _asked(oauth, exchanged, "broker"))["active"]
    assert (await _asked(oauth, own, "partner"))["active"]
    for client in ("rival", "shop", "desk"):
        assert await _asked(oauth, own, client) == INACTIVE
    assert await _asked(oauth, own, "partner", remote="203.0.113.1") == INACTIVE


async def test_anything_else_is_not_active(oauth: OAuth) -> None:
    token, key = await oauth.token(), oauth.issued["shop"].key
    ended = oauth.tokens.make("shop", key, [], lifetime_s=-1)
    disabled = oauth.tokens.make("off", oauth.issued["off"].key, [])
    for each, client in (
        ("nonsense", "shop"),
        ("é.é.é", "shop"),
        (token[:-3], "shop"),
        (ended, "shop"),
        (disabled, "off"),
        (token, "reader"),
    ):
        assert await _asked(oauth, each, client) == INACTIVE


@pytest.mark.parametrize("scope", ["session", "app"])
async def test_a_revoked_token_is_not_active(oauth: OAuth, scope: str) -> None:
    token = await oauth.token()
    session = oauth.tokens.verify(token)[0].session
    name = session if scope == "session" else "shop"
    entry = Revocation(scope, name, session, epoch_ms() + 60_000, epoch_ms(), "li")  # type: ignore[arg-type]
    oauth.revocations.revoke([entry])
    assert await _asked(oauth, token) == INACTIVE


async def test_a_token_of_a_device_on_a_black_list_is_not_active(oauth: OAuth) -> None:
    token = json_of(await oauth.post("token", GRANT, dpop=oauth.keys["till-1"].proof()))["access_token"]
    assert (await _asked(oauth, token))["active"]
    registry = Registry(oauth.parts.resources, oauth.parts.vault, oauth.parts.adapters)
    await registry.put("list", "stolen", {"devices": ["till-1"]}, actor="test")
    assert await _asked(await opened(oauth.parts, oauth.issued, oauth.keys, oauth.sessions), token) == INACTIVE


async def test_without_a_login_or_a_token_nothing_is_told(oauth: OAuth) -> None:
    token = await oauth.token()
    assert oauth.error(await oauth.post("introspect", {"token": token}, None)) == (401, "invalid_client")
    assert oauth.error(await oauth.post("introspect", {})) == (400, "invalid_request")
