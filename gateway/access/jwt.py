"""JSON Web Tokens in the compact form (RFC 7515, 7519, 8725), read strictly: parts, header, signature, then claims.

A key decides the algorithm, never the token. Of a JSON member given twice the last one counts, as RFC 7515 §4 allows: the signer
vouches for the bytes, and every claim is read once, by this one reader.
"""

from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct, UnsetType, field

from core.errors import Unauthenticated
from gateway.access.jwk import Key, packed, unpacked
from gateway.access.memo import Memo

MAX_BYTES = 8192  # of a whole token; a header block is bounded too, but not every token comes in one
_MAX_HEADER_BYTES = 1024
SKEW_S = 30  # how far the clocks of two machines may be apart: a token may seem to be made in the future
_HEADERS = 1024
_Claims = TypeVar("_Claims", bound="Claims")


class Header(Struct, frozen=True, gc=False):
    """The parts of the JOSE header that we believe. `crit` and `b64` change what a signature means: never accepted."""

    alg: str
    kid: str = ""
    typ: str = ""
    crit: msgspec.Raw | UnsetType = UNSET
    b64: msgspec.Raw | UnsetType = UNSET


class Confirmation(Struct, frozen=True, forbid_unknown_fields=True):
    """How the bearer proves possession (RFC 7800): by a DPoP key (RFC 9449 §6.1) or a certificate (RFC 8705 §3.1). One that we
    don't know is refused, since nobody would check it."""

    jkt: str = ""
    x5t: str = field(default="", name="x5t#S256")


class Actor(Struct, frozen=True):
    """Who acts for the subject (RFC 8693 §4.1)."""

    sub: str


class Claims(Struct, frozen=True, kw_only=True):
    """The claims that every token needs, and those that are understood where they come."""

    iss: str
    aud: str | tuple[str, ...]
    exp: int | float
    nbf: int | float = 0
    iat: int | float = 0
    jti: str = ""
    cnf: Confirmation | None = None


class Token(Struct, frozen=True, gc=False):
    """A token taken apart; nothing of it is believed yet. `signed` is what the signature stands for."""

    header: Header
    signed: bytes
    payload: bytes
    signature: bytes

    def is_signed_by(self, key: Key) -> bool:
        """Whether the key signed it, by the key's own algorithm, which the token must name too (RFC 8725 §3.1)."""
        return self.header.alg == key.algorithm and key.is_signed(self.signed, self.signature)


def invalid(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="token_invalid")


class _HeaderReader:
    """Headers repeat from token to token; the last ones are remembered by their bytes."""

    def __init__(self) -> None:
        self._known: Memo[Header] = Memo(_HEADERS)
        self._decoder = msgspec.json.Decoder(Header)

    def read(self, text: bytes) -> Header:
        """Raises ValueError."""
        known = self._known[text]
        if known is not None:
            return known
        if len(text) > _MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        header = self._decoder.decode(unpacked(text))
        if header.crit is not UNSET or header.b64 is not UNSET:
            raise ValueError("crit and b64 are not supported")
        self._known.put(text, header)
        return header


_headers = _HeaderReader()


def parsed(token: bytes) -> Token:
    """Raises Unauthenticated (token_invalid) for what has not the form of a signed token."""
    try:
        if len(token) > MAX_BYTES:
            raise ValueError("too long")
        head, payload, signature = token.split(b".")
        header = _headers.read(head)
        return Token(header, token[: len(head) + 1 + len(payload)], unpacked(payload), unpacked(signature))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise invalid("the token is malformed: it must be a JWT in compact form") from None


def claims_of(token: Token, decoder: msgspec.json.Decoder[_Claims]) -> _Claims:
    """The claims by their types. Raises Unauthenticated (token_invalid) where one is missing or has another type."""
    try:
        return decoder.decode(token.payload)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise invalid("the token lacks a claim that is needed, or one has the wrong type") from None


def check(claims: Claims, *, issuer: str, audience: str, now: float) -> None:
    """`iss` and `aud` as they must be, and the time (RFC 7519 §4.1). Only to be believed once the signature is right.

    A token ends exactly at `exp`; `nbf` and `iat` may lie `SKEW_S` in the future. Raises Unauthenticated: token_invalid, or
    token_expired.
    """
    aud = claims.aud
    if claims.iss != issuer or (aud != audience if isinstance(aud, str) else audience not in aud):
        raise invalid("the token is made by or for somebody else: its iss or aud is another")
    if claims.exp <= now:
        raise Unauthenticated("the token has expired; get a new one", code="token_expired")
    latest = now + SKEW_S
    if claims.nbf > latest or claims.iat > latest:
        raise invalid("the token is not valid yet; its clock and ours differ")


def signed(claims: dict[str, Any], private: Ed25519PrivateKey, *, kid: str, typ: str = "JWT") -> str:
    """A token of these claims, by EdDSA."""
    header = packed(msgspec.json.encode({"alg": "EdDSA", "typ": typ, "kid": kid}))
    data = header + b"." + packed(msgspec.json.encode(claims))
    return (data + b"." + packed(private.sign(data))).decode("ascii")


@lru_cache(1024)
def scopes_of(text: str) -> frozenset[str]:
    """Space-separated scopes (RFC 6749 §3.3). Remembered: most tokens of an app have the same, and then share one set."""
    return frozenset(text.split())
