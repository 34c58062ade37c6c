"""What a client finds out by itself: the server's metadata (RFC 8414) and the keys that its tokens are signed with (RFC 7517)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.oauth.exchange import EXCHANGE
from gateway.oauth.token import CREDENTIALS
from gateway.stage import Request, Response
from registry.tokens import jwk

_MAX_AGE_S = 300
_BY_SECRET = ["client_secret_basic", "client_secret_post", "client_secret_jwt"]


class Fixed:
    """A document that stays the same as long as the snapshot."""

    def __init__(self, document: object) -> None:
        self._body = msgspec.json.encode(document)

    async def __call__(self, request: Request) -> Response:
        return Response(200, [("Content-Type", "application/json"), ("Cache-Control", f"public, max-age={_MAX_AGE_S}")], self._body)


def metadata(public_url: str, issuer: str, proof_algorithms: Sequence[str]) -> dict[str, Any]:
    """`public_url` is where clients reach the gateway; `issuer` is what tokens carry as `iss`."""
    url = public_url.rstrip("/")
    return {
        "issuer": issuer,
        "token_endpoint": f"{url}/oauth2/token",
        "revocation_endpoint": f"{url}/oauth2/revoke",
        "introspection_endpoint": f"{url}/oauth2/introspect",
        "jwks_uri": f"{url}/oauth2/jwks.json",
        "response_types_supported": [],  # required (§2); there is no authorization endpoint
        "grant_types_supported": [CREDENTIALS, EXCHANGE],
        "token_endpoint_auth_methods_supported": _BY_SECRET,
        "revocation_endpoint_auth_methods_supported": _BY_SECRET,
        "introspection_endpoint_auth_methods_supported": _BY_SECRET,
        "token_endpoint_auth_signing_alg_values_supported": ["HS256"],
        "revocation_endpoint_auth_signing_alg_values_supported": ["HS256"],
        "introspection_endpoint_auth_signing_alg_values_supported": ["HS256"],
        "dpop_signing_alg_values_supported": list(proof_algorithms),  # RFC 9449 §5.1
    }


def key_set(keys: Mapping[str, Ed25519PublicKey]) -> dict[str, object]:
    """Every key of the snapshot, by kid."""
    return {"keys": [{**jwk(public), "kid": kid} for kid, public in sorted(keys.items())]}
