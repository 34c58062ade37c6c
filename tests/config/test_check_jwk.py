"""Public keys that can be used, and those that can't."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from config.check_jwk import jwk_problems

ED = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}  # RFC 8037 A.2
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}  # RFC 7517 A.1


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


RSA = {"kty": "RSA", "n": number(rsa.generate_private_key(65537, 2048).public_key().public_numbers().n), "e": "AQAB"}


@pytest.mark.parametrize("key", [ED, EC, RSA, {**ED, "kid": "d1", "alg": "EdDSA", "use": "sig"}])
def test_public_keys_of_the_kinds_we_check_with(key: dict[str, str]) -> None:
    assert list(jwk_problems(key, ("key",))) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ({**ED, "d": "nWGxne"}, "holds a private key (d); give the public one only"),
        ({**RSA, "p": "x", "d": "y"}, "holds a private key (d, p)"),
        ({"kty": "oct", "k": "AAAA"}, "holds a private key (k)"),
        ({}, "is no key that can be used"),
        ({**EC, "crv": "P-384"}, "is no key that can be used"),
        ({**ED, "crv": "X25519"}, "is no key that can be used"),
        ({**ED, "x": "AAAA"}, "is no Ed25519 key: 'x' has 3 bytes, not 32"),
        ({**ED, "x": ED["x"] + "="}, "'x' is missing or no base64url"),
        ({"kty": "OKP", "crv": "Ed25519"}, "'x' is missing"),
        ({**EC, "y": EC["x"]}, "is no P-256 key"),
        ({**RSA, "n": number(2**1023 + 1)}, "is no RSA key: it has 1024 bits; it needs 2048 to 8192"),
        ({**RSA, "n": number(2**9000 + 1)}, "it has 9001 bits"),
        ({**RSA, "e": "AQ"}, "'e' is no odd number of 3 or more"),
    ],
)
def test_others_are_refused(key: dict[str, str], text: str) -> None:
    [problem] = jwk_problems(key, ("key",))
    assert problem.path == ("key",)
    assert text in problem.text
