"""Access tokens: signed JWTs (RFC 9068 shape, EdDSA) made at the token endpoint and verified locally on every node."""

import time
from collections.abc import Iterable

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import Unauthenticated, Unavailable
from core.ids import new_id
from gateway.identity import Identity
from registry.snapshot import Snapshot

AUDIENCE = "zhiyun"
ISSUER = "zhiyun"
LIFETIME_S = 3600
_ALGORITHM = "EdDSA"


class Tokens:
    """Makes and verifies the tokens of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._credentials = snapshot.credentials
        self._signing = snapshot.signing_key
        self._keys = snapshot.verification_keys

    def make(self, app: str, key: str, scopes: Iterable[str]) -> str:
        """A token for `LIFETIME_S` seconds. Unavailable before the platform has made its first signing key."""
        if self._signing is None:
            raise Unavailable("this node has no signing key yet; try again in a moment")
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": app,
            "client_id": key,
            "scope": " ".join(sorted(scopes)),
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": new_id(),
        }
        private: Ed25519PrivateKey = self._signing.private
        return jwt.encode(claims, private, algorithm=_ALGORITHM, headers={"kid": self._signing.kid, "typ": "at+jwt"})

    def verify(self, token: str) -> tuple[Identity, float]:
        """Identity and expiry. The algorithm is pinned before anything of the token is believed; `aud` and `iss` are required."""
        try:
            public: Ed25519PublicKey = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                public,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "client_id"], "verify_exp": False},
            )
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Unauthenticated("the token is not one of this platform", code="token_invalid") from error
        credential = self._credentials.get(claims["client_id"])
        if credential is None or credential.owner != claims["sub"]:
            raise Unauthenticated("the AppKey of this token has been revoked", code="token_revoked")
        return Identity(claims["sub"], claims["client_id"], frozenset(claims.get("scope", "").split())), float(claims["exp"])
