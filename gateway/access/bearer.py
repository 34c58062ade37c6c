"""Bearer tokens (RFC 6750) and tokens bound to a key (DPoP, RFC 9449) or a certificate (RFC 8705) → an Identity.

Tokens come from the platform, from an app that signs with its AppSecret, or from a trusted issuer: see `TokenSource`.
"""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from core.errors import Unauthenticated
from gateway.access import jwt
from gateway.access.jwk import packed
from gateway.access.memo import Memo
from gateway.http1.message import Request
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means

_KIND: Kind = "bearer"
ENTRIES = 65_536
_LONGEST_KEPT = 1536  # bytes of a field that is remembered; with the entries this bounds the memo's memory
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 8725 §3.11: no proof or ID event passes for an access token


class Verified:
    """What a token proved, until when that holds (epoch seconds; then it must be verified anew), and what its bearer has to prove
    at each request. `made` is an id of the time when it was made, where its `jti` is not one of ours that says so: then it ends
    with all sessions of its app, too."""

    __slots__ = ("bound", "identity", "made", "until")

    def __init__(self, identity: Identity, until: float, bound: "jwt.Confirmation | None", made: str = "") -> None:
        self.identity = identity
        self.until = until
        self.bound = bound
        self.made = made


class TokenSource(Protocol):
    """Somebody whose tokens are believed; found by their `iss`, which is believed only once `verify` has passed."""

    def verify(self, token: jwt.Token, now: float) -> Verified:
        """Checks signature and claims. Raises Unauthenticated."""
        ...


class Proofs(Protocol):
    """DPoP proofs (RFC 9449 §4.3)."""

    def check(self, request: Request, *, token: str | None) -> str | Awaitable[str]:
        """The JWK thumbprint of the request's valid proof for this token. Raises Unauthenticated."""
        ...


class Revocations(Protocol):
    """Sessions that have been revoked; asked at each request, so a look-up in memory. `is_empty`: none is."""

    @property
    def is_empty(self) -> bool: ...

    def is_revoked(self, session: str, app: str = "", device: str = "") -> bool: ...


class _Issued(Struct, frozen=True):
    iss: str


_issued = msgspec.json.Decoder(_Issued)


class Bearer:
    """Of one snapshot; its memo holds what was right under the same keys, apps and devices. What a snapshot can't know is asked at
    every request: the time, revocations, proofs of possession.

    `sources` by `iss`; `apps` for tokens that apps sign themselves: every HS256, since nobody else may use that.
    """

    kind = _KIND
    challenge = 'DPoP algs="EdDSA ES256", Bearer realm="zhiyun"'

    def __init__(
        self,
        sources: Mapping[str, TokenSource],
        apps: TokenSource,
        *,
        proofs: Proofs | None = None,
        revocations: Revocations | None = None,
        now: Callable[[], float] = time.time,
        memo: Memo[Verified] | None = None,
    ) -> None:
        self._sources = sources
        self._apps = apps
        self._proofs = proofs
        self._revocations = revocations
        self._now = now
        self._memo: Memo[Verified] = Memo(ENTRIES) if memo is None else memo

    def is_used(self, request: Request) -> bool:
        scheme = request.authorization[:7]
        return scheme == b"Bearer " or scheme.lower() == b"bearer " or scheme[:5].lower() == b"dpop "

    def needs_body(self, request: Request) -> bool:
        return False

    def identify(self, request: Request) -> Identity | Awaitable[Identity]:
        """Raises Unauthenticated: token_invalid, token_expired, token_revoked, token_binding, token_key_unknown or
        subject_unknown."""
        given = request.authorization
        known = self._memo[given]
        if known is None or known.until <= self._now():
            known = self._verified(given)
        identity = known.identity
        if self._revocations is not None and not self._revocations.is_empty:
            self._check_session(known)
        return identity if known.bound is None else self._proved(request, identity, known.bound)

    def holds_until(self, request: Request) -> float:
        """Raises as `identify` does."""
        given = request.authorization
        known = self._memo[given]
        if known is None or known.until <= self._now():
            known = self._verified(given)
        if self._revocations is not None:
            self._check_session(known)
        return known.until

    def _check_session(self, known: Verified) -> None:
        assert self._revocations is not None
        identity, is_revoked = known.identity, self._revocations.is_revoked
        if is_revoked(identity.session, identity.app, identity.device) or (known.made and is_revoked(known.made, identity.app)):
            raise Unauthenticated("the session of this token has been revoked", code="token_revoked")

    def _verified(self, given: bytes) -> Verified:
        scheme, _, text = given.partition(b" ")
        token = jwt.parsed(text.strip(b" "))
        if token.header.typ.lower() not in _TYPES:
            raise jwt.invalid(f"a token of type {token.header.typ[:40]!r} is no access token")
        verified = self._source(token).verify(token, self._now())
        is_bound = verified.bound is not None and bool(verified.bound.jkt)
        if is_bound != (scheme.lower() == b"dpop"):
            raise _binding("the token is bound to a key: send `Authorization: DPoP`" if is_bound else "this token is for `Bearer`")
        if len(given) <= _LONGEST_KEPT:
            self._memo.put(given, verified)
        return verified

    def _source(self, token: jwt.Token) -> TokenSource:
        if token.header.alg == "HS256":
            return self._apps
        try:
            return self._sources[_issued.decode(token.payload).iss]
        except (KeyError, ValueError, msgspec.MsgspecError, RecursionError):
            raise jwt.invalid("nobody who is believed here has made this token") from None

    def _proved(self, request: Request, identity: Identity, bound: jwt.Confirmation) -> Identity | Awaitable[Identity]:
        if bound.x5t and not _is_of(request.certificate, bound.x5t):
            raise _binding("the token is bound to a client certificate, and this connection has another or none")
        if not bound.jkt:
            if not bound.x5t:
                raise _binding("the token is bound to nothing that could be proved")
            return identity
        if self._proofs is None:
            raise _binding("tokens bound to a key are not taken by this node")
        token = request.authorization.partition(b" ")[2].strip(b" ").decode("ascii", "replace")
        proof = self._proofs.check(request, token=token)
        return _matching(identity, bound, proof) if isinstance(proof, str) else _matching_later(identity, bound, proof)


async def _matching_later(identity: Identity, bound: jwt.Confirmation, proof: Awaitable[str]) -> Identity:
    return _matching(identity, bound, await proof)


def _matching(identity: Identity, bound: jwt.Confirmation, proved: str) -> Identity:
    if proved != bound.jkt:
        raise _binding("the DPoP proof was made with another key than the token is bound to")
    return identity


def _is_of(certificate: bytes | None, x5t: str) -> bool:
    if certificate is None:
        return False
    return hmac.compare_digest(packed(hashlib.sha256(certificate).digest()), x5t.encode("utf-8", "replace"))


def _binding(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="token_binding")


def _conforms(means: Bearer) -> Means:
    return means
