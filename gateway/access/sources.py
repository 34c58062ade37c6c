"""Whose tokens are believed (gateway.access.bearer.TokenSource): the platform's, an app's own, a trusted issuer's."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from config.model import App, Issuer, Platform
from core.errors import ConfigError, Unauthenticated
from core.ids import last_id_at
from gateway.access import jwt
from gateway.access.bearer import TokenSource, Verified
from gateway.access.jwk import Key, SecretKey
from gateway.identity import Identity
from gateway.tokens import AUDIENCE, LIFETIME_S, Tokens
from registry.snapshot import Credential


class KeyFinder(Protocol):
    """The public keys of an issuer at this moment."""

    def find(self, kid: str) -> Key | None:
        """None where it is not known; then somebody has been asked to look."""
        ...


def _made(claims: jwt.Claims) -> str:
    """A token that does not say when it was made counts as old: it ends with the first revocation of all sessions of its app."""
    return _last_id_at(max(0, int(claims.iat)))


@lru_cache(1024)
def _last_id_at(epoch_s: int) -> str:
    return last_id_at(epoch_s * 1000)


class PlatformTokens:
    """Tokens of the token endpoint."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def verify(self, token: jwt.Token, now: float) -> Verified:
        claims = self._tokens.read(token, now)
        return Verified(self._tokens.identity(claims), float(claims.exp), claims.cnf)


class AppClaims(jwt.Claims, frozen=True, kw_only=True):
    """`iss` is the AppKey, `sub` the same or absent. Without `scope` the token has all scopes of the app."""

    iat: int | float
    sub: str = ""
    scope: str | None = None


_app_decoder = msgspec.json.Decoder(AppClaims)
_Secrets = tuple[tuple[SecretKey, float], ...]


class AppTokens:
    """Tokens that an app makes itself: HS256 with its AppSecret, `iss` its AppKey, `aud` zhiyun, for an hour at most. Every secret
    works as long as it lives."""

    def __init__(self, credentials: Mapping[str, Credential]) -> None:
        self._credentials = credentials
        self._secrets: dict[str, _Secrets] = {}  # made when first needed; at most as many as there are credentials

    def verify(self, token: jwt.Token, now: float) -> Verified:
        claims = jwt.claims_of(token, _app_decoder)
        credential = self._credentials.get(claims.iss)
        ends: float | None = None
        for secret, until in self._of(credential):  # the newest first; which of an app's two secrets was used is no secret
            if now < until and token.is_signed_by(secret):
                ends = until
                break
        if ends is None or credential is None:
            raise jwt.invalid("the token is not signed with an AppSecret of the AppKey in iss")
        jwt.check(claims, issuer=credential.key, audience=AUDIENCE, now=now)
        if claims.exp - claims.iat > LIFETIME_S:
            raise jwt.invalid(f"a token that an app signs itself may live {LIFETIME_S} s at most")
        if claims.sub not in ("", claims.iss):
            raise jwt.invalid("sub must be the AppKey, as iss is, or be left out")
        scopes = None if claims.scope is None else jwt.scopes_of(claims.scope)
        identity = Identity(credential.owner, credential.key, scopes, session=claims.jti)
        return Verified(identity, min(float(claims.exp), ends), claims.cnf, _made(claims))

    def _of(self, credential: Credential | None) -> _Secrets:
        if credential is None or credential.owner_kind != "app":
            return ()
        found = self._secrets.get(credential.key)
        if found is None:
            found = self._secrets[credential.key] = _secret_keys(credential)
        return found


def _secret_keys(credential: Credential) -> _Secrets:
    found = []
    for each in credential.secrets:
        try:
            until = float("inf") if each.expires_ms is None else each.expires_ms / 1000
            found.append((SecretKey(each.secret.reveal().encode()), until))
        except ConfigError:
            continue  # too short to sign with
    return tuple(found)


class IssuerClaims(jwt.Claims, frozen=True, kw_only=True):
    """A third party's claims; the scopes are under a name that it chooses, see `IssuerTokens`."""

    sub: str = ""
    client_id: str = ""
    azp: str = ""


_CLAIMS = frozenset(IssuerClaims.__struct_fields__)


class IssuerTokens:
    """Tokens of one trusted issuer. Its tokens have the scopes under `scope_claim` and none without it; where `scope_claim` is
    empty its tokens carry no scopes, and the app's own apply."""

    def __init__(self, declared: Issuer, keys: KeyFinder, apps: Mapping[str, str]) -> None:
        """`apps`: whose app each subject is."""
        self._declared = declared
        self._keys = keys
        self._apps = apps
        self._decoder = _decoder(declared.scope_claim)

    def verify(self, token: jwt.Token, now: float) -> Verified:
        declared = self._declared
        if token.header.alg != declared.algorithm:
            raise jwt.invalid(f"tokens of this issuer must be signed by {declared.algorithm}")
        key = self._keys.find(token.header.kid)
        if key is None:
            raise Unauthenticated("the key that signed this token is not known (yet)", code="token_key_unknown")
        if not token.is_signed_by(key):
            raise jwt.invalid("the token's signature is wrong")
        claims = jwt.claims_of(token, self._decoder)
        jwt.check(claims, issuer=declared.issuer, audience=declared.audience, now=now)
        subject: str = getattr(claims, declared.subject_claim)
        app = self._apps.get(subject) if subject else None
        if app is None:
            raise Unauthenticated("no app here stands for the subject of this token", code="subject_unknown")
        user = claims.sub if claims.sub != subject else ""
        identity = Identity(app, "", self._scopes(claims), session=claims.jti, user=user)
        until = min(float(claims.exp), now + declared.refresh_s)  # a key that the issuer takes back ends what it signed
        return Verified(identity, until, claims.cnf, _made(claims))

    def _scopes(self, claims: Any) -> frozenset[str] | None:
        if not self._declared.scope_claim:
            return None
        granted: str | tuple[str, ...] = claims.granted
        return jwt.scopes_of(granted) if isinstance(granted, str) else frozenset(granted)


def _decoder(scope_claim: str) -> msgspec.json.Decoder[IssuerClaims]:
    if not scope_claim:
        return msgspec.json.Decoder(IssuerClaims)
    if scope_claim in _CLAIMS:
        raise ConfigError(f"scope_claim: '{scope_claim}' is a claim with a meaning of its own")
    field = ("granted", str | tuple[str, ...], ())
    kind = msgspec.defstruct(
        "ScopedClaims", [field], bases=(IssuerClaims,), frozen=True, kw_only=True, rename={"granted": scope_claim}
    )
    return msgspec.json.Decoder(kind)


def subjects(apps: Mapping[str, App], issuer: str) -> dict[str, str]:
    """Subject → app. One that two apps claim stands for neither (config/check_access names it)."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for name, app in apps.items():
        for subject in app.subjects.get(issuer, ()):
            if found.setdefault(subject, name) != name:
                twice.add(subject)
    return {subject: name for subject, name in found.items() if subject not in twice}


def token_sources(platform: Platform, tokens: Tokens, keys: Mapping[str, KeyFinder]) -> dict[str, TokenSource]:
    """By `iss`: the platform itself and every issuer that is enabled; `keys` by the issuer's name. The platform's own name can't be
    taken."""
    issuers: dict[str, TokenSource] = {
        issuer.issuer: IssuerTokens(issuer, keys[name], subjects(platform.apps, name))
        for name, issuer in platform.issuers.items()
        if issuer.enabled
    }
    return {**issuers, tokens.issuer: PlatformTokens(tokens)}


def _conforms(platform: PlatformTokens, app: AppTokens, issuer: IssuerTokens) -> tuple[TokenSource, ...]:
    return platform, app, issuer
