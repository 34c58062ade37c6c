"""`POST /oauth2/token`, case by case of RFC 6749."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.pipeline import compose
from gateway.tokens import LIFETIME_S, Tokens
from registry.credentials import Credentials
from registry.snapshot import build_snapshot
from tests.gateway.desk import SCOPES, Desk, basic, header, json_of

GRANT = {"grant_type": "client_credentials"}


def _pair(desk: Desk, app: str = "shop") -> tuple[str, str]:
    return desk.issued[app].key, desk.issued[app].secret.reveal()


async def _refused(desk: Desk, form: Mapping[str, str], **headers: str) -> tuple[int, str]:
    response = await desk.token(form, **headers)
    assert header(response, "Cache-Control") == "no-store"
    assert set(json_of(response)) == {"error", "error_description"}
    return response.status, json_of(response)["error"]


@pytest.mark.req("0.36")
@pytest.mark.req("0.38")
@pytest.mark.parametrize("way", ["basic", "form", "percent-encoded"])
async def test_key_and_secret_become_a_token(desk: Desk, way: str) -> None:
    key, secret = _pair(desk)
    if way == "basic":
        response = await desk.token(GRANT, authorization=basic(key, secret))
    elif way == "form":
        response = await desk.token({**GRANT, "client_id": key, "client_secret": secret})
    else:  # RFC 6749 §2.3.1: both are form-encoded before they go into Basic
        response = await desk.token(GRANT, authorization=basic(quote_plus(key), "".join(f"%{ord(c):02X}" for c in secret)))
    answer = json_of(response)
    assert (response.status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", LIFETIME_S)
    assert answer["scope"].split() == sorted(SCOPES)
    assert (header(response, "Cache-Control"), header(response, "Content-Type")) == ("no-store", "application/json")
    assert Tokens(desk.snapshot).verify(answer["access_token"])[0].app == "shop"


async def test_a_part_of_the_scopes_may_be_asked_for(desk: Desk) -> None:
    login = basic(*_pair(desk))
    answer = json_of(await desk.token({**GRANT, "scope": "points:read customers:read"}, authorization=login))
    assert answer["scope"] == "customers:read points:read"
    assert await _refused(desk, {**GRANT, "scope": "customers:read admin:write"}, authorization=login) == (400, "invalid_scope")


async def test_a_wrong_secret_and_an_unknown_key_get_the_same_answer(desk: Desk) -> None:
    key, secret = _pair(desk)
    bodies = set()
    for pair in ((key, secret + "x"), (key, ""), ("ak_unknown", secret), ("", ""), (key, desk.issued["reader"].secret.reveal())):
        response = await desk.token(GRANT, authorization=basic(*pair))
        assert response.status == 401
        assert (header(response, "WWW-Authenticate") or "").startswith("Basic ")
        bodies.add(response.body)
    assert len(bodies) == 1
    assert json_of(response)["error"] == "invalid_client"


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        "Basic \udcff",
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic YQ=",
        "basic eA",
    ],
)
async def test_a_malformed_login_is_refused(desk: Desk, authorization: str) -> None:
    assert await _refused(desk, GRANT, authorization=authorization) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
    ],
)
async def test_another_grant_is_refused(desk: Desk, form: dict[str, str], error: str) -> None:
    assert await _refused(desk, form, authorization=basic(*_pair(desk))) == (400, error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=client_credentials", "application/json"),
        (b"grant_type=client_credentials", ""),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(30)), "application/x-www-form-urlencoded"),
    ],
)
async def test_a_form_that_is_none_is_an_invalid_request(desk: Desk, body: bytes, kind: str) -> None:
    headers = {"content-type": kind, "authorization": basic(*_pair(desk))}
    response = await desk.ask("POST", "/oauth2/token", app=None, headers=headers, body=body)
    assert (response.status, json_of(response)["error"]) == (400, "invalid_request")


async def test_two_logins_at_once_are_refused(desk: Desk) -> None:
    key, secret = _pair(desk)
    form = {**GRANT, "client_id": key, "client_secret": secret}
    assert await _refused(desk, form, authorization=basic(key, secret)) == (400, "invalid_request")  # RFC 6749 §2.3


async def test_a_parameter_that_is_not_known_is_ignored(desk: Desk) -> None:
    assert (await desk.token({**GRANT, "resource": "x", "scope": ""}, authorization=basic(*_pair(desk)))).status == 200


@pytest.mark.req("0.37")
async def test_an_app_that_may_not_come_in_gets_no_token(desk: Desk) -> None:
    for app in ("off", "stranded", "inside"):
        assert await _refused(desk, GRANT, authorization=basic(*_pair(desk, app))) == (400, "unauthorized_client")


async def _rotated(desk: Desk, overlap_s: int) -> tuple[Any, str]:
    credentials = Credentials(desk.parts.resources, desk.parts.vault)
    fresh = await credentials.rotate(desk.issued["shop"].key, overlap_s=overlap_s, actor="test")
    snapshot = await build_snapshot(desk.parts.resources, desk.parts.vault, desk.parts.adapters)
    return Desk(desk.parts, snapshot, compose(snapshot, {}, desk.parts.limits), desk.ledger, desk.issued), fresh.secret.reveal()


async def test_after_a_rotation_both_secrets_work_until_the_overlap_ends(desk: Desk) -> None:
    key, old = _pair(desk)
    overlapping, new = await _rotated(desk, 3600)
    for secret in (old, new):
        assert (await overlapping.token(GRANT, authorization=basic(key, secret))).status == 200
    at_once, newest = await _rotated(desk, 0)
    assert (await at_once.token(GRANT, authorization=basic(key, newest))).status == 200
    for secret in (old, new):
        assert (await at_once.token(GRANT, authorization=basic(key, secret))).status == 401


async def test_guessing_is_slowed_down_per_address(desk: Desk) -> None:
    login = basic("ak_guess", "guess")
    statuses = [(await desk.token(GRANT, authorization=login, remote="203.0.113.5")).status for _ in range(60)]
    assert statuses.count(429) >= 5
    assert statuses[:50] == [401] * 50
    refused = await desk.token(GRANT, authorization=login, remote="203.0.113.5")
    assert (json_of(refused)["code"], header(refused, "Retry-After")) == ("rate_limited", "1")
    assert (await desk.token(GRANT, authorization=login, remote="203.0.113.6")).status == 401


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(authorization=st.text(max_size=60), form=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
async def test_nothing_that_is_sent_breaks_it(desk: Desk, authorization: str, form: dict[str, str]) -> None:
    sent = {name.encode(errors="replace").decode(): value.encode(errors="replace").decode() for name, value in form.items()}
    remote = f"10.{hash(authorization) % 255}.{len(form)}.{len(authorization)}"
    for scheme in ("", "Basic "):
        assert (await desk.token({**GRANT, **sent}, authorization=scheme + authorization, remote=remote)).status in (400, 401, 429)
