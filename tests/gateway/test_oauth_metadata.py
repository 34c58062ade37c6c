"""What a client finds out by itself: metadata (RFC 8414) and keys (RFC 7517), enough to use and to verify tokens."""

import jwt as foreign
import pytest

from gateway.tokens import AUDIENCE
from tests.gateway.desk import header, json_of
from tests.gateway.oauth_desk import GRANT, ISSUER, OAuth

METADATA = "/.well-known/oauth-authorization-server"


async def test_every_endpoint_that_the_metadata_names_is_there(oauth: OAuth) -> None:
    response = await oauth.ask("GET", METADATA)
    told = json_of(response)
    assert (response.status, header(response, "Content-Type"), told["issuer"]) == (200, "application/json", ISSUER)
    assert "max-age=" in (header(response, "Cache-Control") or "")
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        path = told[name].removeprefix(ISSUER)
        assert (await oauth.ask("POST", path, body=b"")).status == 400  # there, and wants a form
    assert (await oauth.ask("GET", told["jwks_uri"].removeprefix(ISSUER))).status == 200


@pytest.mark.req("0.38")
async def test_a_foreign_library_verifies_our_tokens_with_what_is_published(oauth: OAuth) -> None:
    told = json_of(await oauth.ask("GET", METADATA))
    keys = foreign.PyJWKSet.from_dict(json_of(await oauth.ask("GET", told["jwks_uri"].removeprefix(ISSUER))))
    token = await oauth.token()
    key = keys[foreign.get_unverified_header(token)["kid"]]
    claims = foreign.decode(token, key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=told["issuer"])
    assert claims["sub"] == "shop"


async def test_each_grant_that_the_metadata_names_is_known(oauth: OAuth) -> None:
    told = json_of(await oauth.ask("GET", METADATA))
    assert GRANT["grant_type"] in told["grant_types_supported"]
    for kind in told["grant_types_supported"]:
        answer = json_of(await oauth.post("token", {"grant_type": kind}))
        assert answer.get("error") != "unsupported_grant_type"


async def test_nothing_private_is_published(oauth: OAuth) -> None:
    for key in json_of(await oauth.ask("GET", "/oauth2/jwks.json"))["keys"]:
        assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
