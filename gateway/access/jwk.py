"""Keys that verify signatures of tokens, each bound to one algorithm (RFC 8725 §3.1), made from JWK (RFC 7517).

Private keys never come here.
"""

import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from core.errors import ConfigError

Algorithm = Literal["EdDSA", "ES256", "RS256", "HS256"]
ALGORITHMS: tuple[Algorithm, ...] = ("EdDSA", "ES256", "RS256", "HS256")
_RSA_BITS = range(2048, 8193)  # below: RFC 7518 §3.3; above: an issuer could make each check cost milliseconds
_SECRET_BYTES = 32  # RFC 7518 §3.2
_MEMBERS = {
    "OKP": ("crv", "kty", "x"),
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}  # RFC 7638 §3.2

# base64url to base64; what is in neither alphabet, the other alphabet and padding become a character that is refused.
_URLSAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TABLE = bytes(each if each in _URLSAFE[:-2] else {45: 43, 95: 47}.get(each, 33) for each in range(256))
_LAST = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")  # by length modulo 4: the last character, whose unused bits are zero
_PADDING = (b"", b"", b"==", b"=")
_a2b = binascii.a2b_base64


class Key(Protocol):
    """Verifies with one algorithm, whatever a token says."""

    algorithm: Algorithm

    def is_signed(self, data: bytes, signature: bytes) -> bool: ...


def unpacked(text: bytes) -> bytes:
    """Strict base64url without padding (RFC 7515 §2): no foreign character, no unused bits. Raises ValueError."""
    rest = len(text) & 3
    if not rest:
        return _a2b(text.translate(_TABLE), strict_mode=True)
    if text[-1] not in _LAST[rest]:
        raise ValueError("no base64url")
    return _a2b(text.translate(_TABLE) + _PADDING[rest], strict_mode=True)


def packed(data: bytes) -> bytes:
    """base64url without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")


class Ed25519Key:
    """EdDSA over Ed25519 (RFC 8037)."""

    algorithm: Algorithm = "EdDSA"
    __slots__ = ("_public",)

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class P256Key:
    """ES256: the signature is two numbers of 32 bytes (RFC 7518 §3.4)."""

    algorithm: Algorithm = "ES256"
    __slots__ = ("_public",)
    _hash = ECDSA(SHA256())

    def __init__(self, public: EllipticCurvePublicKey) -> None:
        self._public = public

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        if len(signature) != 64:
            return False
        numbers = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            self._public.verify(numbers, data, self._hash)
        except InvalidSignature:
            return False
        return True


class RsaKey:
    """RS256: RSASSA-PKCS1-v1_5 with SHA-256 and a modulus of 2048 to 8192 bits. ConfigError for others."""

    algorithm: Algorithm = "RS256"
    __slots__ = ("_public",)

    def __init__(self, public: RSAPublicKey) -> None:
        if public.key_size not in _RSA_BITS:
            raise ConfigError(f"an RSA key of {public.key_size} bits: it needs 2048 to 8192")
        self._public = public

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, data, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


class SecretKey:
    """HS256. ConfigError for a secret below 32 bytes.

    The two inner states of HMAC (RFC 2104) are kept: a check costs half of what `hmac.digest` takes for a token.
    """

    algorithm: Algorithm = "HS256"
    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ConfigError(f"a secret for HS256 of {len(secret)} bytes: it needs {_SECRET_BYTES}")
        block = (hashlib.sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return hmac.compare_digest(outer.digest(), signature)


def key_of(jwk: Mapping[str, Any], algorithm: Algorithm) -> Key:
    """The key of a JWK, for this algorithm. Raises ConfigError where it is another kind of key, says that it is for something
    else (`alg`, `use`, `key_ops`), is weak or no key at all."""
    if jwk.get("alg", algorithm) != algorithm:
        raise ConfigError(f"the key is for {jwk['alg']}, not for {algorithm}")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ConfigError("the key is not for checking signatures")
    try:
        return _MAKERS[algorithm](jwk)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"this is no key for {algorithm}: {type(error).__name__}") from None


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """SHA-256 over the required members (RFC 7638). Raises ConfigError where one is missing."""
    try:
        needed = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
    except (KeyError, TypeError):
        raise ConfigError("this is no JWK: a member that its kty needs is missing") from None
    return packed(hashlib.sha256(json.dumps(needed, separators=(",", ":"), sort_keys=True).encode()).digest()).decode()


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    return unpacked(jwk[name].encode("ascii"))


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_member(jwk, name), "big")


def _expect(jwk: Mapping[str, Any], **members: str) -> None:
    if any(jwk[name] != value for name, value in members.items()):
        raise ValueError("another kind of key")


def _okp(jwk: Mapping[str, Any]) -> Key:
    _expect(jwk, kty="OKP", crv="Ed25519")
    return Ed25519Key(Ed25519PublicKey.from_public_bytes(_member(jwk, "x")))


def _ec(jwk: Mapping[str, Any]) -> Key:
    _expect(jwk, kty="EC", crv="P-256")
    return P256Key(EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), SECP256R1()).public_key())


def _rsa(jwk: Mapping[str, Any]) -> Key:
    _expect(jwk, kty="RSA")
    return RsaKey(RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key())


def _oct(jwk: Mapping[str, Any]) -> Key:
    _expect(jwk, kty="oct")
    return SecretKey(_member(jwk, "k"))


_MAKERS = {"EdDSA": _okp, "ES256": _ec, "RS256": _rsa, "HS256": _oct}
