"""Token exchange (RFC 8693): a proxy acts for its apps, and for no other."""

import time

import pytest

from core.clock import epoch_ms
from core.sessions import Revocation
from gateway.oauth.exchange import ACCESS_TOKEN, EXCHANGE
from gateway.tokens import LIFETIME_S
from tests.gateway.desk import SCOPES, json_of
from tests.gateway.oauth_desk import GRANT, OAuth

GRANT_EXCHANGE = {"grant_type": EXCHANGE}


async def _refused(oauth: OAuth, client: str = "partner", remote: str = "10.9.1.1", **form: str) -> tuple[int, str]:
    return oauth.error(await oauth.post("token", {**GRANT_EXCHANGE, **form}, client, remote=remote))


def _subject(token: str) -> dict[str, str]:
    return {"subject_token": token, "subject_token_type": ACCESS_TOKEN}


@pytest.mark.req("0.37")
@pytest.mark.parametrize("way", ["name", "key", "token"])
async def test_a_proxy_gets_a_token_for_its_app(oauth: OAuth, way: str) -> None:
    form = {"audience": "broker" if way == "name" else oauth.issued["broker"].key}
    if way == "token":
        form = _subject(await oauth.token("broker"))
    response = await oauth.post("token", {**GRANT_EXCHANGE, **form}, "partner")
    answer = json_of(response)
    assert (response.status, answer["issued_token_type"], answer["token_type"]) == (200, ACCESS_TOKEN, "Bearer")
    assert answer["scope"].split() == sorted(SCOPES)
    identity, _ = oauth.tokens.verify(answer["access_token"])
    assert (identity.app, identity.actor, identity.key) == ("broker", "partner", oauth.issued["partner"].key)
    assert {each.id for each in await oauth.listed("broker") if each.actor == "partner"} == {identity.session}


async def test_scopes_are_only_narrowed(oauth: OAuth) -> None:
    token = await oauth.token("broker", scope="customers:read visits:read")
    answer = json_of(await oauth.post("token", {**GRANT_EXCHANGE, **_subject(token)}, "partner"))
    assert answer["scope"] == "customers:read visits:read"
    answer = json_of(await oauth.post("token", {**GRANT_EXCHANGE, **_subject(token), "scope": "visits:read"}, "partner"))
    assert answer["scope"] == "visits:read"
    assert await _refused(oauth, **_subject(token), scope="points:read") == (400, "invalid_scope")
    assert await _refused(oauth, audience="broker", scope="admin:read") == (400, "invalid_scope")


async def test_the_new_token_lives_no_longer_than_the_subject_token(oauth: OAuth) -> None:
    short = oauth.tokens.make("broker", oauth.issued["broker"].key, ["customers:read"], lifetime_s=60)
    answer = json_of(await oauth.post("token", {**GRANT_EXCHANGE, **_subject(short)}, "partner"))
    assert 50 < answer["expires_in"] <= 60
    assert oauth.tokens.verify(answer["access_token"])[1] <= time.time() + 60
    assert json_of(await oauth.post("token", {**GRANT_EXCHANGE, "audience": "broker"}, "partner"))["expires_in"] == LIFETIME_S


async def test_an_app_of_nobody_of_another_proxy_and_one_that_is_not_there_get_the_same_answer(oauth: OAuth) -> None:
    found = set()
    for client, audience in (("partner", "shop"), ("partner", "stranded"), ("partner", "nobody"), ("partner", "partner")):
        response = await oauth.post("token", {**GRANT_EXCHANGE, "audience": audience}, client)
        assert oauth.error(response) == (400, "invalid_target")
        found.add(response.body)
    assert len(found) == 1
    assert await _refused(oauth, "rival", audience="broker") == (400, "invalid_target")
    assert await _refused(oauth, audience=oauth.issued["partner"].key) == (400, "invalid_target")
    assert await _refused(oauth, "rival", **_subject(await oauth.token("broker"))) == (400, "invalid_target")


async def test_a_disabled_proxy_a_disabled_app_and_a_foreign_address_are_refused(oauth: OAuth) -> None:
    assert await _refused(oauth, "closed", audience="stranded") == (400, "unauthorized_client")
    assert await _refused(oauth, audience="resting") == (400, "unauthorized_client")
    assert await _refused(oauth, audience="broker", remote="203.0.113.9") == (400, "unauthorized_client")
    assert await _refused(oauth, audience="desk", remote="10.1.1.1") == (400, "unauthorized_client")  # off the app's own list


async def test_only_a_proxy_exchanges(oauth: OAuth) -> None:
    assert await _refused(oauth, "broker", audience="broker") == (400, "unauthorized_client")


async def test_what_the_request_lacks_or_has_too_much_of_is_refused(oauth: OAuth) -> None:
    token = await oauth.token("broker")
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"subject_token": token},
        {"subject_token": token, "subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        _subject("no.token.atall"),
        _subject(token[:-4]),
        {"audience": "broker", "requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"audience": "broker", "actor_token": token},
    )
    for form in wrong:
        assert await _refused(oauth, **form) == (400, "invalid_request")
    assert await _refused(oauth, **_subject(token), audience="desk") == (400, "invalid_target")


async def test_a_revoked_subject_token_gives_nothing(oauth: OAuth) -> None:
    token = await oauth.token("broker")
    session = oauth.tokens.verify(token)[0].session
    oauth.revocations.revoke([Revocation("session", session, session, epoch_ms() + 60_000, epoch_ms(), "li")])
    assert await _refused(oauth, **_subject(token)) == (400, "invalid_request")


async def test_a_wrong_secret_of_a_proxy_is_refused(oauth: OAuth) -> None:
    form = {**GRANT_EXCHANGE, "audience": "broker", "client_id": oauth.issued["partner"].key, "client_secret": "guess"}
    assert oauth.error(await oauth.post("token", form, None)) == (401, "invalid_client")


async def test_a_proof_binds_the_exchanged_token_too(oauth: OAuth) -> None:
    response = await oauth.post("token", {**GRANT_EXCHANGE, "audience": "broker"}, "partner", dpop=oauth.keys["own"].proof())
    assert json_of(response)["token_type"] == "DPoP"
    till = oauth.keys["till-1"].proof()  # of another app than the one that the token is for
    refused = await oauth.post("token", {**GRANT_EXCHANGE, "audience": "broker"}, "partner", dpop=till)
    assert oauth.error(refused) == (400, "invalid_dpop_proof")


async def test_a_token_of_an_app_itself_needs_no_proxy(oauth: OAuth) -> None:
    assert (await oauth.post("token", GRANT, "broker")).status == 200
