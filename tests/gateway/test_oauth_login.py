"""How clients prove who they are: rotation of secrets, and assertions by secret (RFC 7523) with every way of forging one."""

import time
from typing import Any

import jwt as foreign
import pytest

from core.ids import new_id
from gateway.oauth.exchange import EXCHANGE
from gateway.oauth.login import ASSERTION
from registry.credentials import Credentials
from tests.gateway.desk import basic, json_of
from tests.gateway.oauth_desk import GRANT, ISSUER, OAuth, opened


def _claims(key: str, **changed: Any) -> dict[str, Any]:
    claims = {"iss": key, "sub": key, "aud": ISSUER, "exp": int(time.time()) + 60, "jti": new_id()}
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def _form(oauth: OAuth, client: str = "shop", *, secret: str = "", algorithm: str = "HS256", **changed: Any) -> dict[str, str]:
    issued = oauth.issued[client]
    signed = foreign.encode(_claims(issued.key, **changed), secret or issued.secret.reveal(), algorithm=algorithm)
    return {**GRANT, "client_assertion_type": ASSERTION, "client_assertion": signed}


async def test_after_a_rotation_both_secrets_work_until_the_overlap_ends(oauth: OAuth) -> None:
    key, old = oauth.issued["shop"].key, oauth.issued["shop"].secret.reveal()
    credentials = Credentials(oauth.parts.resources, oauth.parts.vault)

    async def rotated(overlap_s: int) -> tuple[OAuth, str]:
        fresh = await credentials.rotate(key, overlap_s=overlap_s, actor="test")
        return await opened(oauth.parts, oauth.issued, oauth.keys, oauth.sessions), fresh.secret.reveal()

    async def statuses(endpoints: OAuth, *secrets: str) -> list[int]:
        found = []
        for secret in secrets:
            found.append((await endpoints.post("token", GRANT, None, authorization=basic(key, secret))).status)
            found.append((await endpoints.post("token", _form(endpoints, secret=secret), None)).status)
        return found

    overlapping, new = await rotated(3600)
    assert await statuses(overlapping, old, new) == [200] * 4
    at_once, newest = await rotated(0)
    assert await statuses(at_once, newest) == [200] * 2
    assert await statuses(at_once, old, new) == [401] * 4


@pytest.mark.req("0.36")
@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/oauth2/token", ["somebody", ISSUER]], ids=str)
async def test_a_secret_need_not_travel(oauth: OAuth, audience: Any) -> None:
    form = _form(oauth, aud=audience)
    response = await oauth.post("token", {**form, "client_id": oauth.issued["shop"].key}, None)
    token = json_of(response)["access_token"]
    assert oauth.tokens.verify(token)[0].app == "shop"
    assert (await oauth.post("introspect", {**_form(oauth), "token": token}, None)).status == 200
    assert (await oauth.post("revoke", {**_form(oauth), "token": token}, None)).status == 200
    proxy = {**_form(oauth, "partner"), "grant_type": EXCHANGE, "audience": "broker"}
    assert (await oauth.post("token", proxy, None)).status == 200


async def test_an_assertion_holds_once(oauth: OAuth) -> None:
    form = _form(oauth)
    assert (await oauth.post("token", form, None)).status == 200
    assert oauth.error(await oauth.post("token", form, None)) == (401, "invalid_client")


@pytest.mark.filterwarnings("ignore:The HMAC key is")  # the forger signs with another algorithm than ours
@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "zhiyun"},  # a token that the app has signed as an access token
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"aud": []},
        {"iss": "somebody"},
        {"iss": None},
        {"sub": None},
        {"sub": "ak_unknown", "iss": "ak_unknown"},
        {"exp": 1},
        {"exp": None},
        {"exp": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 200},
        {"jti": 7},
        {"secret": "another secret of thirty-two bytes or more"},
        {"algorithm": "HS512"},
    ],
    ids=str,
)
async def test_an_assertion_that_does_not_hold_is_refused(oauth: OAuth, changed: dict[str, Any]) -> None:
    assert oauth.error(await oauth.post("token", _form(oauth, **changed), None)) == (401, "invalid_client")
    assert await oauth.listed() == []


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "é.é.é", "x" * 12_000])
async def test_what_is_no_assertion_is_refused(oauth: OAuth, assertion: str) -> None:
    form = {**GRANT, "client_assertion_type": ASSERTION, "client_assertion": assertion}
    assert oauth.error(await oauth.post("token", form, None)) == (401, "invalid_client")


async def test_nobody_signs_for_another_or_without_a_secret(oauth: OAuth) -> None:
    reader = oauth.issued["reader"]
    for form in (
        _form(oauth, secret=reader.secret.reveal()),
        {**_form(oauth), "client_id": reader.key},
        {**_form(oauth), "client_assertion": foreign.encode(_claims(reader.key), "", algorithm="none")},
    ):
        assert oauth.error(await oauth.post("token", form, None)) == (401, "invalid_client")


async def test_two_ways_at_once_and_an_unknown_kind_are_invalid_requests(oauth: OAuth) -> None:
    form = _form(oauth)
    for changed, client in (
        ({"client_secret": "x"}, None),
        ({}, "shop"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, None),
        ({"client_assertion_type": ""}, None),
    ):
        assert oauth.error(await oauth.post("token", {**form, **changed}, client)) == (400, "invalid_request")
