"""Access tokens: signed JWTs (RFC 9068 shape, EdDSA) made at the token endpoint and verified locally on every node."""

import time
from collections.abc import Iterable

import jwt

from core.errors import ConfigError, Unauthenticated, Unavailable
from core.ids import new_id
from gateway.identity import Identity
from registry.snapshot import Snapshot

AUDIENCE = "zhiyun"
ISSUER = "zhiyun"
LIFETIME_S = 3600
_ALGORITHM = "EdDSA"
_SKEW_S = 30  # how far the clocks of two nodes may be apart: a token may seem to be made in the future


class Tokens:
    """Makes and verifies the tokens of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._credentials = snapshot.credentials
        self._keys = snapshot.verification_keys

    def make(self, app: str, key: str, scopes: Iterable[str]) -> str:
        """A token for `LIFETIME_S` seconds. Unavailable before the platform has made its first signing key."""
        now = int(time.time())
        try:
            signing = self._snapshot.signing_key(now * 1000)
        except ConfigError as error:
            raise Unavailable("this node has no signing key yet; try again in a moment") from error
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
        return jwt.encode(claims, signing.private, algorithm=_ALGORITHM, headers={"kid": signing.kid, "typ": "at+jwt"})

    def verify(self, token: str) -> tuple[Identity, float]:
        """Identity and expiry. The algorithm is pinned before anything of the token is believed; `aud` and `iss` are required."""
        try:
            public = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                public,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=_SKEW_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "client_id"], "verify_exp": False},
            )
            expires = float(claims["exp"])
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise Unauthenticated("the token is not one of this platform", code="token_invalid") from error
        credential = self._credentials.get(claims["client_id"])
        if credential is None or credential.owner != claims["sub"]:
            raise Unauthenticated("the AppKey of this token has been revoked", code="token_revoked")
        return Identity(claims["sub"], claims["client_id"], frozenset(claims.get("scope", "").split())), expires
