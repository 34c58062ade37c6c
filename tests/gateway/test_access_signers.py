"""Whose signatures count: an app's secrets, a device's keys of four algorithms, and what a library of somebody else signs."""

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from config.model import Device
from gateway.access.jwk import packed
from gateway.access.signature import SignatureMeans
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from tests.gateway.signing import COVERED, KEY, NOW, SECRET, code_by, hmac_with, identified_by, signed_request
from tests.gateway.signing import signature_means as means

URL = "https://gateway/v1/customers?limit=2"


def identified(request: Request, by: SignatureMeans | None = None) -> Identity:
    return identified_by(by or means(), request)


def code_of(request: Request, by: SignatureMeans | None = None) -> str:
    return code_by(by or means(), request)


def _rsa_jwk(private: rsa.RSAPrivateKey, **more: str) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    n, e = (packed(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode() for number in (numbers.n, numbers.e))
    return {"kty": "RSA", "n": n, "e": e, **more}


def _p256_jwk(private: EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    x, y = (packed(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _raw(private: EllipticCurvePrivateKey, base: bytes) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(private.sign(base, ECDSA(SHA256()))))


RSA, P256, ED25519 = rsa.generate_private_key(65537, 2048), generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()
ED25519_JWK = {"kty": "OKP", "crv": "Ed25519", "x": packed(ED25519.public_key().public_bytes_raw()).decode()}
DEVICES = {
    "ed": Device(app="shop", key=ED25519_JWK),
    "ec": Device(app="shop", key=_p256_jwk(P256)),
    "pss": Device(app="shop", key=_rsa_jwk(RSA)),
    "v15": Device(app="shop", key=_rsa_jwk(RSA, alg="RS256")),
    "off": Device(app="shop", key=ED25519_JWK, enabled=False),
    "bad": Device(app="shop", key={"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    "weak": Device(app="shop", key=_rsa_jwk(rsa.generate_private_key(65537, 1024))),
    "secret": Device(app="shop", key={"kty": "oct", "k": packed(SECRET.encode()).decode()}),
}
SIGN = {
    "ed25519": ED25519.sign,
    "ecdsa-p256-sha256": lambda base: _raw(P256, base),
    "rsa-pss-sha512": lambda base: RSA.sign(base, PSS(MGF1(SHA512()), 64), SHA512()),
    "rsa-v1_5-sha256": lambda base: RSA.sign(base, PKCS1v15(), SHA256()),
    "hmac-sha256": hmac_with(SECRET),
}
ALGORITHM_OF = {"ed": "ed25519", "ec": "ecdsa-p256-sha256", "pss": "rsa-pss-sha512", "v15": "rsa-v1_5-sha256"}


@pytest.mark.req("0.38")
class TestADeviceSignsWithItsKey:
    @pytest.mark.parametrize("name", ALGORITHM_OF)
    @pytest.mark.parametrize("algorithm", SIGN)
    def test_with_the_algorithm_of_its_key_and_no_other(self, name: str, algorithm: str) -> None:
        request = signed_request(keyid=f"device:{name}", sign=SIGN[algorithm])
        if algorithm == ALGORITHM_OF[name]:
            assert identified(request, means(DEVICES)) == Identity("shop", f"device:{name}", means="signature", device=name)
        else:
            assert code_of(request, means(DEVICES)) == "signature_invalid"

    def test_an_algorithm_that_it_names_must_be_its_key_s(self) -> None:
        parameters = f';created={NOW:.0f};keyid="device:pss";nonce="n";alg="rsa-v1_5-sha256"'
        assert code_of(signed_request(parameters=parameters, sign=SIGN["rsa-pss-sha512"]), means(DEVICES)) == "signature_invalid"

    @pytest.mark.parametrize("name", ["off", "bad", "weak", "secret", "unknown"])
    def test_not_when_it_is_switched_off_or_has_no_good_key(self, name: str) -> None:
        for sign in SIGN.values():
            assert code_of(signed_request(keyid=f"device:{name}", sign=sign), means(DEVICES)) == "signature_invalid"


class _Resolver(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> Any:
        return SECRET.encode() if key_id == KEY else ED25519.public_key()

    def resolve_private_key(self, key_id: str) -> Any:
        return SECRET.encode() if key_id == KEY else ED25519


class _Message:
    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, headers


class TestAgainstAnotherImplementation:
    """http-message-signatures, which nobody here wrote: it signs and we verify, and the reverse."""

    @pytest.mark.parametrize(
        ("keyid", "algorithm"), [(KEY, algorithms.HMAC_SHA256), ("device:ed", algorithms.ED25519)], ids=["hmac", "ed25519"]
    )
    @pytest.mark.parametrize(
        ("method", "url", "covered", "body"),
        [
            ("GET", "https://gateway/v1/a?x=1&y=%20", ("@method", "@authority", "@path", "@query"), None),
            ("GET", "https://gateway:8443/v1/a", ("@method", "@target-uri", "accept"), None),
            ("POST", "http://gateway/v1/a?q=%E5%8F%B7", ("@method", "@target-uri", "content-type"), b'{"a": 1}'),
            (
                "PUT",
                "http://gateway/v1/a?q=1&p=a+b",
                ("@method", "@scheme", "@authority", "@request-target", '"@query-param";name="p"'),
                b"x",
            ),
        ],
    )
    def test_it_signs_and_we_verify(
        self, keyid: str, algorithm: Any, method: str, url: str, covered: tuple[str, ...], body: bytes | None
    ) -> None:
        message = _Message(method, url, {"Host": url.split("/")[2], "Accept": "*/*", "Content-Type": "application/json"})
        signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=_Resolver())
        created = datetime.fromtimestamp(NOW, UTC)
        signer.sign(message, key_id=keyid, created=created, nonce="n", covered_component_ids=covered, body=body)
        request = made_request(method, url[url.index("/v1") :], headers=message.headers, body=body or b"")
        request.scheme = url.split(":")[0]
        assert identified(request, means(DEVICES)).app == "shop"
        request.verb = b"DELETE"
        assert code_of(request, means(DEVICES)) == "signature_invalid"

    @pytest.mark.parametrize(("keyid", "name"), [(KEY, "hmac-sha256"), ("device:ed", "ed25519")])
    def test_what_we_verify_it_verifies(self, keyid: str, name: str) -> None:
        algorithm = {"hmac-sha256": algorithms.HMAC_SHA256, "ed25519": algorithms.ED25519}[name]
        body = b'{"a": 1}'
        request = signed_request(
            "POST", URL, body=body, keyid=keyid, sign=SIGN[name], headers={"accept": "*/*"}, covered=(*COVERED, "content-digest")
        )
        assert identified(request, means(DEVICES)).app == "shop"
        verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=_Resolver())
        verifier.max_clock_skew = timedelta(days=36_500)  # its clock can't be set
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = verifier.verify(_Message("POST", URL, dict(request.headers)), max_age=None, body=body)
        assert [each.label for each in found] == ["sig1"]
