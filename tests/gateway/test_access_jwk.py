"""Keys: what is taken for one, strict base64url, and that each keeps to its algorithm."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from gateway.access.jwk import ALGORITHMS, SecretKey, key_of, packed, thumbprint, unpacked
from registry.tokens import jwk as jwk_of
from tests.gateway.access_desk import ec_jwk

_EC = ec.generate_private_key(ec.SECP256R1())


def _rsa_jwk(bits: int) -> dict[str, str]:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    return {"kty": "RSA", "n": packed(numbers.n.to_bytes(size, "big")).decode(), "e": "AQAB"}


_OKP = jwk_of(ed25519.Ed25519PrivateKey.generate().public_key())
_GOOD: dict[str, dict[str, Any]] = {
    "EdDSA": _OKP,
    "ES256": ec_jwk(_EC, "k"),
    "RS256": _rsa_jwk(2048),
    "HS256": {"kty": "oct", "k": packed(b"k" * 32).decode()},
}


@given(st.binary(max_size=70))
def test_packing_is_base64url_without_padding_and_comes_back(data: bytes) -> None:
    assert packed(data) == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert unpacked(packed(data)) == data


@given(st.text(alphabet="AQgwBCD-_09+/= \n\té!", max_size=12))
def test_only_the_one_spelling_of_bytes_is_unpacked(text: str) -> None:
    raw = text.encode()
    try:
        data = unpacked(raw)
    except ValueError:
        return
    assert packed(data) == raw


@given(st.binary(min_size=32, max_size=200), st.binary(max_size=300))
def test_a_secret_key_is_hmac_sha_256(secret: bytes, data: bytes) -> None:
    right = hmac.digest(secret, data, hashlib.sha256)
    key = SecretKey(secret)
    assert key.is_signed(data, right)
    assert not key.is_signed(data, right[:-1])
    assert not key.is_signed(data + b"x", right)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("made_for", ALGORITHMS)
def test_a_key_is_taken_for_its_own_algorithm_only(algorithm: Any, made_for: str) -> None:
    jwk = _GOOD[made_for]
    if algorithm == made_for:
        assert key_of(jwk, algorithm).algorithm == algorithm
    else:
        with pytest.raises(ConfigError):
            key_of(jwk, algorithm)


@pytest.mark.parametrize(
    ("algorithm", "change"),
    [
        ("EdDSA", {"alg": "ES256"}),
        ("EdDSA", {"use": "enc"}),
        ("EdDSA", {"key_ops": ["sign"]}),
        ("EdDSA", {"key_ops": 7}),
        ("EdDSA", {"crv": "X25519"}),
        ("EdDSA", {"x": "AAAA"}),
        ("EdDSA", {"x": 7}),
        ("EdDSA", {"x": "é"}),
        ("ES256", {"crv": "P-384"}),
        ("ES256", {"x": "AA"}),  # a point off the curve
        ("RS256", {"n": None}),
        ("RS256", {"e": "AA"}),
        ("RS256", {"e": "Ag"}),  # even
        ("HS256", {"k": packed(b"k" * 31).decode()}),
    ],
    ids=str,
)
def test_what_is_no_fit_key_is_refused(algorithm: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        key_of({**_GOOD[algorithm], **change}, algorithm)


def test_a_short_rsa_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="1024 bits"):
        key_of(_rsa_jwk(1024), "RS256")


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 §3.1 and RFC 8037 appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6"
        "4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9"
        "1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    assert thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert thumbprint(_OKP) == _OKP["kid"]
    with pytest.raises(ConfigError):
        thumbprint({"kty": "EC", "crv": "P-256"})
