"""`POST /oauth2/revoke` (RFC 7009): a client ends its own tokens, durably and on all nodes."""

import asyncio
from pathlib import Path

import pytest

from core.bus import Subscription
from core.sessions import REVOKED_PATTERN, revocation_of
from gateway.oauth.exchange import EXCHANGE
from tests.gateway.desk import header, json_of
from tests.gateway.oauth_desk import OAuth, open_oauth
from tests.gateway.session_outage import Interrupted


async def _exchanged(oauth: OAuth) -> str:
    return str(json_of(await oauth.post("token", {"grant_type": EXCHANGE, "audience": "broker"}, "partner"))["access_token"])


def _is_revoked(oauth: OAuth, token: str) -> bool:
    identity, _ = oauth.tokens.verify(token)
    return oauth.revocations.is_revoked(identity.session, identity.app, identity.device)


@pytest.mark.req("0.38")
async def test_a_client_ends_its_token_here_in_the_database_and_on_the_bus(oauth: OAuth) -> None:
    control = Subscription("other-node", REVOKED_PATTERN, channel="control", durable=False)
    reader = await oauth.parts.bus.subscribe(control)
    ended, other = await oauth.token(), await oauth.token()
    response = await oauth.post("revoke", {"token": ended, "token_type_hint": "refresh_token"})
    assert (response.status, header(response, "Cache-Control")) == (200, "no-store")
    assert (_is_revoked(oauth, ended), _is_revoked(oauth, other)) == (True, False)
    session = oauth.tokens.verify(ended)[0].session
    assert [(each.name, each.by) for each in await oauth.sessions.revocations(since=0)] == [(session, "app shop")]
    assert {each.id for each in await oauth.listed("shop") if each.revoked_ms} == {session}
    async with asyncio.timeout(60):
        assert revocation_of((await reader.next()).envelope).name == session


async def test_what_is_no_token_or_has_ended_is_answered_alike(oauth: OAuth) -> None:
    token = await oauth.token()
    for each in ("nonsense", token[:-3], token, token):
        response = await oauth.post("revoke", {"token": each})
        assert (response.status, response.body) == (200, b"{}")
    assert len(await oauth.sessions.revocations(since=0)) == 1


async def test_a_token_of_another_client_stays(oauth: OAuth) -> None:
    token = await oauth.token()
    for client in ("reader", "partner"):
        assert oauth.error(await oauth.post("revoke", {"token": token}, client)) == (400, "unauthorized_client")
    assert not _is_revoked(oauth, token)


@pytest.mark.parametrize(("client", "may"), [("partner", True), ("broker", True), ("rival", False), ("desk", False)])
async def test_what_a_proxy_got_is_ended_by_the_proxy_or_the_app(oauth: OAuth, client: str, may: bool) -> None:
    token = await _exchanged(oauth)
    assert ((await oauth.post("revoke", {"token": token}, client)).status == 200) is may
    assert _is_revoked(oauth, token) is may


async def test_a_proxy_does_not_end_what_the_app_got_itself(oauth: OAuth) -> None:
    token = await oauth.token("broker")
    assert (await oauth.post("revoke", {"token": token}, "partner")).status == 400


async def test_without_a_login_or_a_token_nothing_is_done(oauth: OAuth) -> None:
    token = await oauth.token()
    assert oauth.error(await oauth.post("revoke", {"token": token}, None)) == (401, "invalid_client")
    assert oauth.error(await oauth.post("revoke", {})) == (400, "invalid_request")
    assert not _is_revoked(oauth, token)


async def test_while_the_database_is_down_the_client_is_asked_to_come_again(tmp_path: Path) -> None:
    async with open_oauth(tmp_path / "desk", sessions=Interrupted) as oauth:
        token = await oauth.token()  # issued all the same
        response = await oauth.post("revoke", {"token": token})
        assert (response.status, json_of(response)["code"]) == (503, "unavailable")  # RFC 7009 §2.2.1
        assert header(response, "Retry-After") is not None
        assert isinstance(oauth.sessions, Interrupted)
        oauth.sessions.is_down = False
        assert (await oauth.post("revoke", {"token": token})).status == 200
        assert _is_revoked(oauth, token)
