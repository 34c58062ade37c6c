"""The platform's own access tokens: signed JWTs (RFC 9068 shape, EdDSA), made at the token endpoint and verified on every node.

Tokens of one snapshot: keys, credentials, devices and proxies that it does not have any more end them.
"""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from core.errors import ConfigError, Unauthenticated, Unavailable
from core.ids import new_id
from gateway.access import jwt
from gateway.access.jwk import Ed25519Key, thumbprint
from gateway.identity import Identity
from registry.snapshot import Snapshot

AUDIENCE = "zhiyun"
ISSUER = "zhiyun"
LIFETIME_S = 3600


class TokenClaims(jwt.Claims, frozen=True, kw_only=True):
    """`sub` is the app's name, `client_id` the key it was given to, `jti` the session by which it can be revoked."""

    sub: str
    client_id: str
    iat: int | float
    scope: str = ""
    device: str = ""
    act: jwt.Actor | None = None


_decoder = msgspec.json.Decoder(TokenClaims)


class Tokens:
    """Makes and verifies the tokens of one snapshot. `issuer` is their `iss`: the URL of the server's metadata (RFC 8414 §2)."""

    def __init__(self, snapshot: Snapshot, *, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self._snapshot = snapshot
        self._credentials = snapshot.credentials
        self._keys = {kid: Ed25519Key(public) for kid, public in snapshot.verification_keys.items()}
        self._devices = _device_keys(snapshot)

    def make(
        self,
        app: str,
        key: str,
        scopes: Iterable[str],
        *,
        session: str = "",
        jkt: str = "",
        device: str = "",
        actor: str = "",
        lifetime_s: int = LIFETIME_S,
    ) -> str:
        """A token for `lifetime_s` seconds. `session` becomes its jti (a fresh one where it is empty); `jkt` binds it to a DPoP
        key; `device` names a device of the app, which needs `jkt` of the device's key; `actor` is the proxy that acts for the app,
        `key` then being one of the app's or of that proxy's. Unavailable before the platform has made its first signing key."""
        now = int(time.time())
        try:
            signing = self._snapshot.signing_key(now * 1000)
        except ConfigError as error:
            raise Unavailable("this node has no signing key yet; try again in a moment") from error
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": app,
            "client_id": key,
            "scope": " ".join(sorted(scopes)),
            "iat": now,
            "exp": now + lifetime_s,
            "jti": session or new_id(),
        }
        claims |= {"cnf": {"jkt": jkt}} if jkt else {}
        claims |= {"device": device} if device else {}
        claims |= {"act": {"sub": actor}} if actor else {}
        return jwt.signed(claims, signing.private, kid=signing.kid, typ="at+jwt")

    def verify(self, token: str | bytes) -> tuple[Identity, float]:
        """Identity and expiry. Who holds the key of a bound token (`cnf`) is not asked here: see `gateway.access.bearer`. Raises
        Unauthenticated: token_invalid, token_expired, token_revoked."""
        claims = self.read(jwt.parsed(token if isinstance(token, bytes) else token.encode("ascii", "replace")), time.time())
        return self.identity(claims), float(claims.exp)

    def read(self, token: jwt.Token, now: float) -> TokenClaims:
        """The claims of a token that this platform signed and that has not ended. Raises Unauthenticated."""
        key = self._keys.get(token.header.kid)
        if key is None or not token.is_signed_by(key):
            raise jwt.invalid("the token is not one of this platform")
        claims = jwt.claims_of(token, _decoder)
        jwt.check(claims, issuer=self.issuer, audience=AUDIENCE, now=now)
        return claims

    def identity(self, claims: TokenClaims) -> Identity:
        """Whom verified claims stand for in this snapshot. Raises Unauthenticated (token_revoked)."""
        actor = claims.act.sub if claims.act is not None else ""
        if not self._is_held(claims, actor):
            raise Unauthenticated("the AppKey of this token has been revoked", code="token_revoked")
        if actor and not self._acts_for(actor, claims.sub):
            raise Unauthenticated("the proxy of this token does not act for the app any more", code="token_revoked")
        if claims.device and not self._is_bound(claims):
            raise Unauthenticated("the device of this token is gone, disabled or has another key now", code="token_revoked")
        scopes = frozenset(claims.scope.split())
        return Identity(claims.sub, claims.client_id, scopes, session=claims.jti, device=claims.device, user="", actor=actor)

    def _is_held(self, claims: TokenClaims, actor: str) -> bool:
        credential = self._credentials.get(claims.client_id)
        if credential is None:
            return False
        holder = claims.sub if credential.owner_kind == "app" else actor
        return credential.owner == holder

    def _acts_for(self, actor: str, app: str) -> bool:
        proxy, declared = self._snapshot.platform.proxies.get(actor), self._snapshot.platform.apps.get(app)
        return proxy is not None and proxy.enabled and declared is not None and declared.proxy == actor

    def _is_bound(self, claims: TokenClaims) -> bool:
        return claims.cnf is not None and self._devices.get(claims.device) == (claims.sub, claims.cnf.jkt)


def _device_keys(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """App and key thumbprint of each device that is enabled and has a key that could prove anything."""
    found = {}
    for name, device in snapshot.platform.devices.items():
        try:
            found[name] = (device.app, thumbprint(device.key))
        except ConfigError:
            continue  # such a device proves nothing; config/check names it
    return {name: each for name, each in found.items() if snapshot.platform.devices[name].enabled}
