"""`POST /oauth2/token`, case by case of RFC 6749, and what binds a token to a key (RFC 9449)."""

import base64
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.access import jwt
from gateway.tokens import LIFETIME_S
from tests.gateway.desk import SCOPES, basic, header, json_of
from tests.gateway.oauth_desk import GRANT, OAuth


def _pair(oauth: OAuth, app: str = "shop") -> tuple[str, str]:
    return oauth.issued[app].key, oauth.issued[app].secret.reveal()


async def _refused(oauth: OAuth, form: Mapping[str, str], client: str | None = "shop", **headers: str) -> tuple[int, str]:
    return oauth.error(await oauth.post("token", form, client, **headers))


@pytest.mark.req("0.36")
@pytest.mark.req("0.38")
@pytest.mark.parametrize("way", ["basic", "form", "percent-encoded"])
async def test_key_and_secret_become_a_token(oauth: OAuth, way: str) -> None:
    key, secret = _pair(oauth)
    if way == "basic":
        response = await oauth.post("token", GRANT)
    elif way == "form":
        response = await oauth.post("token", {**GRANT, "client_id": key, "client_secret": secret}, None)
    else:  # RFC 6749 §2.3.1: both are form-encoded before they go into Basic
        login = basic(quote_plus(key), "".join(f"%{ord(c):02X}" for c in secret))
        response = await oauth.post("token", GRANT, None, authorization=login)
    answer = json_of(response)
    assert (response.status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", LIFETIME_S)
    assert answer["scope"].split() == sorted(SCOPES)
    assert (header(response, "Cache-Control"), header(response, "Content-Type")) == ("no-store", "application/json")
    assert oauth.tokens.verify(answer["access_token"])[0].app == "shop"


async def test_each_token_is_a_session_that_can_be_found(oauth: OAuth) -> None:
    identities = [oauth.tokens.verify(await oauth.token())[0] for _ in range(2)]
    listed = await oauth.listed("shop")
    assert {each.id for each in listed} == {each.session for each in identities}
    assert {(each.app, each.key, each.device, each.actor, each.address) for each in listed} == {
        ("shop", oauth.issued["shop"].key, "", "", "10.9.1.1")
    }
    assert all(each.expires_ms - each.issued_ms == LIFETIME_S * 1000 for each in listed)


async def test_a_part_of_the_scopes_may_be_asked_for(oauth: OAuth) -> None:
    answer = json_of(await oauth.post("token", {**GRANT, "scope": "points:read customers:read"}))
    assert answer["scope"] == "customers:read points:read"
    assert await _refused(oauth, {**GRANT, "scope": "customers:read admin:write"}) == (400, "invalid_scope")
    assert len(await oauth.listed()) == 1  # no session of what was refused


async def test_a_wrong_secret_and_an_unknown_key_get_the_same_answer(oauth: OAuth) -> None:
    key, secret = _pair(oauth)
    bodies = set()
    for pair in ((key, secret + "x"), (key, ""), ("ak_unknown", secret), ("", ""), (key, _pair(oauth, "reader")[1])):
        response = await oauth.post("token", GRANT, None, authorization=basic(*pair))
        assert response.status == 401
        assert (header(response, "WWW-Authenticate") or "").startswith("Basic ")
        bodies.add(response.body)
    assert len(bodies) == 1
    assert json_of(response)["error"] == "invalid_client"


_NO_LOGIN = ["Basic", "Basic ", "Basic !!!", "Basic é", "Basic \udcff", "Basic /zp4", "Basic YQ=", "basic eA", "Bearer eA"]


@pytest.mark.parametrize("authorization", _NO_LOGIN)
async def test_a_malformed_login_is_refused(oauth: OAuth, authorization: str) -> None:
    assert await _refused(oauth, GRANT, authorization=authorization) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
    ],
)
async def test_another_grant_is_refused(oauth: OAuth, form: dict[str, str], error: str) -> None:
    assert await _refused(oauth, form) == (400, error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials", "application/json"),
        (b"grant_type=client_credentials", ""),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(30)), "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials&scope=" + b"a" * 20_000, "application/x-www-form-urlencoded"),
    ],
    ids=range(6),
)
async def test_a_form_that_is_none_is_an_invalid_request(oauth: OAuth, body: bytes, kind: str) -> None:
    headers = {"content-type": kind, "authorization": oauth.login("shop")}
    assert oauth.error(await oauth.ask("POST", "/oauth2/token", headers=headers, body=body)) == (400, "invalid_request")


async def test_two_logins_at_once_are_refused(oauth: OAuth) -> None:
    key, secret = _pair(oauth)
    form = {**GRANT, "client_id": key, "client_secret": secret}
    assert await _refused(oauth, form) == (400, "invalid_request")  # RFC 6749 §2.3


async def test_a_parameter_that_is_not_known_is_ignored(oauth: OAuth) -> None:
    assert (await oauth.post("token", {**GRANT, "resource": "x", "scope": ""})).status == 200


@pytest.mark.req("0.37")
async def test_who_may_not_come_in_gets_no_token(oauth: OAuth) -> None:
    for client in ("off", "stranded", "inside", "partner"):
        assert await _refused(oauth, GRANT, client) == (400, "unauthorized_client")
    assert await oauth.listed() == []


async def test_a_proof_binds_the_token_to_its_key(oauth: OAuth) -> None:
    key = oauth.keys["own"]
    answer = json_of(await oauth.post("token", GRANT, dpop=key.proof()))
    claims = oauth.tokens.read(jwt.parsed(answer["access_token"].encode()), time.time())
    assert answer["token_type"] == "DPoP"
    assert claims.cnf is not None
    assert (claims.cnf.jkt, claims.device) == (key.jkt, "")


async def test_the_key_of_a_device_names_the_device(oauth: OAuth) -> None:
    answer = json_of(await oauth.post("token", GRANT, dpop=oauth.keys["till-1"].proof()))
    assert oauth.tokens.verify(answer["access_token"])[0].device == "till-1"
    assert [each.device for each in await oauth.listed("shop")] == ["till-1"]


@pytest.mark.parametrize("device", ["till-2", "kiosk"])
async def test_a_disabled_device_and_one_of_another_app_get_no_token(oauth: OAuth, device: str) -> None:
    assert await _refused(oauth, GRANT, dpop=oauth.keys[device].proof()) == (400, "invalid_dpop_proof")
    assert await oauth.listed() == []


async def test_a_proof_that_does_not_hold_or_comes_twice_is_refused(oauth: OAuth) -> None:
    key = oauth.keys["till-1"]
    bad = ["", "x", key.proof(htm="GET"), key.proof(htu="http://gateway/other"), key.proof(iat=1), key.proof()[:-3]]
    for proof in bad:
        assert await _refused(oauth, GRANT, dpop=proof) == (400, "invalid_dpop_proof")
    proof = key.proof()
    assert (await oauth.post("token", GRANT, dpop=proof)).status == 200
    assert await _refused(oauth, GRANT, dpop=proof) == (400, "invalid_dpop_proof")


async def test_guessing_is_slowed_down_per_address_over_all_endpoints(oauth: OAuth) -> None:
    login = basic("ak_guess", "guess")
    statuses = []
    for turn in range(60):
        endpoint = ("token", "revoke", "introspect")[turn % 3]
        response = await oauth.post(endpoint, {**GRANT, "token": "x"}, None, authorization=login, remote="203.0.113.5")
        statuses.append(response.status)
    assert statuses.count(429) >= 5
    assert statuses[:50] == [401] * 50
    refused = await oauth.post("token", GRANT, None, authorization=login, remote="203.0.113.5")
    assert (json_of(refused)["code"], header(refused, "Retry-After")) == ("rate_limited", "1")
    assert (await oauth.post("token", GRANT, None, authorization=login, remote="203.0.113.6")).status == 401


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(authorization=st.text(max_size=60), form=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
async def test_nothing_that_is_sent_breaks_it(oauth: OAuth, authorization: str, form: dict[str, str]) -> None:
    sent: dict[str, Any] = {
        name.encode(errors="replace").decode(): value.encode(errors="replace").decode() for name, value in form.items()
    }
    remote = f"10.{hash(authorization) % 255}.{len(form)}.{len(authorization)}"
    encoded = base64.b64encode(authorization.encode(errors="replace")).decode()
    for login in (authorization, f"Basic {authorization}", f"Basic {encoded}"):
        for endpoint in ("token", "revoke", "introspect"):
            response = await oauth.post(endpoint, {**GRANT, **sent}, None, authorization=login, remote=remote)
            assert response.status in (400, 401, 429)
