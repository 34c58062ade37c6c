"""Public keys as JWK (RFC 7517): of a kind we check with, whole, strong enough, and without their private half. Pure."""

import base64
import re
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers

from config.problem import Path, Problem

PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_RSA_BITS = (2048, 8192)


def jwk_problems(key: Mapping[str, str], path: Path) -> Iterator[Problem]:
    """Of a device's key, or an issuer's."""
    if private := sorted(PRIVATE & set(key)):
        yield Problem(path, f"holds a private key ({', '.join(private)}); give the public one only")
        return
    kind = (key.get("kty", ""), key.get("crv", ""))
    try:
        if kind == ("OKP", "Ed25519"):
            _bytes(key, "x", 32)
        elif kind == ("EC", "P-256"):
            x, y = (int.from_bytes(_bytes(key, name, 32), "big") for name in ("x", "y"))
            EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
        elif kind[0] == "RSA":
            _rsa(key)
        else:
            yield Problem(path, "is no key that can be used: OKP with crv Ed25519, EC with crv P-256, or RSA")
    except ValueError as error:
        yield Problem(path, f"is no {kind[1] or kind[0]} key: {error}")


def _bytes(key: Mapping[str, str], name: str, length: int | None = None) -> bytes:
    text = key.get(name, "")
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError(f"'{name}' is missing or no base64url without padding")
    found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if length is not None and len(found) != length:
        raise ValueError(f"'{name}' has {len(found)} bytes, not {length}")
    return found


def _rsa(key: Mapping[str, str]) -> None:
    modulus = int.from_bytes(_bytes(key, "n"), "big")
    exponent = int.from_bytes(_bytes(key, "e"), "big")
    if not _RSA_BITS[0] <= modulus.bit_length() <= _RSA_BITS[1]:
        raise ValueError(f"it has {modulus.bit_length()} bits; it needs {_RSA_BITS[0]} to {_RSA_BITS[1]}")
    if exponent < 3 or exponent % 2 == 0:
        raise ValueError("'e' is no odd number of 3 or more")
