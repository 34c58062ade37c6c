"""How a client proves who it is (RFC 6749 §2.3): key and secret in HTTP Basic or in the form, or a JWT that it has signed with its
secret, which then never travels (RFC 7523 §2.2, `client_secret_jwt`)."""

import base64
import hmac
import inspect
import time
from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus

import msgspec

from core.cache import Replays
from core.clock import epoch_ms
from core.errors import Unauthenticated
from gateway.access import jwt
from gateway.access.jwk import SecretKey
from gateway.oauth.client import Client, Form, Refused
from gateway.stage import Request
from registry.snapshot import Credential

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_S = 300  # that an assertion may still hold: so long its jti is remembered
_MAX_JTI = 128
_NOBODY = "x" * 43  # compared with when the key is unknown, so that both take as long


class AssertionClaims(jwt.Claims, frozen=True, kw_only=True):
    """`iss` and `sub` are both the client's key (RFC 7523 §3); `jti` is required, as it may be, so that none comes twice."""

    sub: str
    jti: str


_decoder = msgspec.json.Decoder(AssertionClaims)


class Logins:
    """Of one snapshot. An assertion is for one of `audiences`: the issuer or the token endpoint's URL."""

    def __init__(self, credentials: Mapping[str, Credential], replays: Replays, audiences: Collection[str]) -> None:
        self._credentials = credentials
        self._replays = replays
        self._audiences = audiences

    async def client(self, request: Request, form: Form) -> Client:
        """Refused for two ways at once (invalid_request), and for a key or proof that is wrong (invalid_client)."""
        ways = ("authorization" in request.headers, "client_secret" in form, "client_assertion" in form)
        if sum(ways) > 1:
            raise Refused("invalid_request", "the client proves who it is in two ways; send one")  # RFC 6749 §2.3
        return await self._by_assertion(form) if ways[2] else self._by_secret(*_key_and_secret(request, form))

    def _by_secret(self, key: str, secret: str) -> Client:
        """Every live secret is compared, in constant time, and an unknown key costs the same."""
        secrets = self._secrets(key)
        matches = [hmac.compare_digest(live.encode(), secret.encode()) for live in secrets or [_NOBODY]]
        if not secrets or not any(matches):
            raise Refused("invalid_client", "AppKey or AppSecret is wrong", 401)
        return self._client(key)

    async def _by_assertion(self, form: Form) -> Client:
        if form.get("client_assertion_type") != ASSERTION:
            raise Refused("invalid_request", f"client_assertion_type must be {ASSERTION}")
        try:
            claims, left_s = self._asserted(form["client_assertion"])
        except Unauthenticated as error:
            raise Refused("invalid_client", f"client_assertion: {error.detail}", 401) from None
        if form.get("client_id", claims.sub) != claims.sub:
            raise Refused("invalid_client", "client_id is not the key in client_assertion", 401)
        is_new = self._replays.is_new(f"assertion:{claims.sub}:{claims.jti}", left_s)
        if not (await is_new if inspect.isawaitable(is_new) else is_new):
            raise Refused("invalid_client", "client_assertion has come before: use a fresh jti for each request", 401)
        return self._client(claims.sub)

    def _asserted(self, text: str) -> tuple[AssertionClaims, float]:
        """The claims, and the seconds for which it will still be accepted. Raises Unauthenticated."""
        token, now = jwt.parsed(text.encode("ascii", "replace")), time.time()
        claims = jwt.claims_of(token, _decoder)
        secrets = self._secrets(claims.sub)
        signed = [token.is_signed_by(SecretKey(live.encode())) for live in secrets or [_NOBODY]]
        if not secrets or not any(signed):
            raise jwt.invalid("it is not signed (HS256) with the AppSecret of the AppKey in sub")
        given = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        audience = next((each for each in given if each in self._audiences), "the issuer")
        jwt.check(claims, issuer=claims.sub, audience=audience, now=now)
        left_s = claims.exp - now
        if left_s > _LONGEST_S:
            raise jwt.invalid(f"it may hold for {_LONGEST_S} s at most")
        if not 0 < len(claims.jti) <= _MAX_JTI:
            raise jwt.invalid(f"jti must be a text of 1 to {_MAX_JTI} characters")
        return claims, left_s + 1

    def _secrets(self, key: str) -> list[str]:
        credential = self._credentials.get(key)
        return [live.reveal() for live in credential.live(epoch_ms())] if credential is not None else []

    def _client(self, key: str) -> Client:
        credential = self._credentials[key]
        return Client(key, credential.owner_kind, credential.owner)


def _key_and_secret(request: Request, form: Form) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII, no UTF-8
        raise Refused("invalid_client", "the Authorization header is malformed", 401) from None
    return unquote_plus(key), unquote_plus(secret)
