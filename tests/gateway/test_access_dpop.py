"""DPoP proofs, made by PyJWT, which nobody here wrote: what passes, and each rule of RFC 9449 §4.3 that refuses."""

import base64
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.replays_memory import MemoryReplays
from core.errors import Unauthenticated, Unavailable
from gateway.access.bearer import Bearer
from gateway.access.dpop import DpopProofs
from gateway.access.jwk import packed, thumbprint
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from gateway.tokens import Tokens
from tests.gateway.access_desk import SCOPES, SHOP_KEY, bearer, snapshot_of
from tests.gateway.signing import NOW

P256, ED25519 = generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()
ED25519_JWK = {"kty": "OKP", "crv": "Ed25519", "x": packed(ED25519.public_key().public_bytes_raw()).decode()}
TOKEN = "access.token.of-shop"
ATH = base64.urlsafe_b64encode(hashlib.sha256(TOKEN.encode()).digest()).rstrip(b"=").decode()
CLAIMS: dict[str, Any] = {"jti": "j-1", "htm": "GET", "htu": "https://gateway/v1/customers", "iat": int(NOW)}


def _jwk(private: EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    x, y = (packed(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


P256_JWK = _jwk(P256)


def proof(
    claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None, *, key: Any = P256, algorithm: str = "ES256"
) -> str:
    """A proof; claims and header fields that are None are left out."""
    merged = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
    fields = {"typ": "dpop+jwt", "jwk": P256_JWK, **(header or {})}
    return jwt.encode(merged, key, algorithm=algorithm, headers=fields)


def request_with(*proofs: str, method: str = "GET", target: str = "/v1/customers?limit=2", host: str = "gateway") -> Request:
    request = made_request(method, target, headers={"host": host, **({"dpop": ", ".join(proofs)} if proofs else {})})
    request.scheme = "https"
    return request


def checked(request: Request, token: str | None = None, by: DpopProofs | None = None) -> str:
    answer = (by or DpopProofs(MemoryReplays(), lambda: NOW)).check(request, token=token)
    assert isinstance(answer, str)
    return answer


def code_of(request: Request, token: str | None = None, by: DpopProofs | None = None) -> str:
    with pytest.raises(Unauthenticated) as refused:
        checked(request, token, by)
    return refused.value.specific_code


class TestAProof:
    def test_by_es256_and_eddsa_gives_the_thumbprint_of_its_key(self) -> None:
        assert checked(request_with(proof())) == thumbprint(P256_JWK)
        by_ed25519 = proof(header={"jwk": ED25519_JWK}, key=ED25519, algorithm="EdDSA")
        assert checked(request_with(by_ed25519)) == thumbprint(ED25519_JWK)

    def test_more_in_the_jwk_changes_no_thumbprint(self) -> None:
        assert checked(request_with(proof(header={"jwk": {**P256_JWK, "kid": "k", "use": "sig"}}))) == thumbprint(P256_JWK)

    def test_for_a_token(self) -> None:
        assert checked(request_with(proof({"ath": ATH})), TOKEN) == thumbprint(P256_JWK)

    @pytest.mark.parametrize(
        ("htu", "target", "host"),
        [
            ("https://gateway/v1/customers", "/v1/customers", "gateway"),
            ("https://gateway/v1/customers?other=1#part", "/v1/customers?limit=2", "gateway"),
            ("HTTPS://GateWay:443/v1/customers", "/v1/customers", "GATEWAY"),
            ("https://gateway/v1/customers", "/v1/customers", "gateway:443"),
            ("https://gateway:8443/v1/%E5%8F%B7", "/v1/%E5%8F%B7", "gateway:8443"),
            ("https://gateway", "/", "gateway"),
        ],
    )
    def test_for_the_address_however_it_is_written(self, htu: str, target: str, host: str) -> None:
        assert checked(request_with(proof({"htu": htu}), target=target, host=host))

    @pytest.mark.parametrize("iat", [NOW - 60, NOW + 60, NOW + 0.5])
    def test_within_its_time(self, iat: float) -> None:
        assert checked(request_with(proof({"iat": iat})))


class TestRefusals:
    @pytest.mark.parametrize(
        "claims",
        [
            {"jti": None},
            {"jti": ""},
            {"jti": 7},
            {"jti": "j" * 257},
            {"htm": None},
            {"htm": "POST"},
            {"htm": "get"},
            {"htu": None},
            {"htu": 1},
            {"htu": ""},
            {"htu": "/v1/customers"},
            {"htu": "http://gateway/v1/customers"},
            {"htu": "https://other/v1/customers"},
            {"htu": "https://gateway:8443/v1/customers"},
            {"htu": "https://gateway/v1/customers/"},
            {"htu": "https://gateway/v1/Customers"},
            {"htu": "https://user@gateway/v1/customers"},
            {"iat": None},
            {"iat": True},
            {"iat": str(int(NOW))},
            {"iat": NOW - 61},
            {"iat": NOW + 61},
        ],
    )
    def test_of_claims(self, claims: dict[str, Any]) -> None:
        encoded = _signed(
            {"typ": "dpop+jwt", "alg": "ES256", "jwk": P256_JWK}, {k: v for k, v in {**CLAIMS, **claims}.items() if v is not None}
        )
        assert code_of(request_with(encoded)) == "dpop_invalid"

    @pytest.mark.parametrize(
        "header",
        [
            {"typ": "JWT"},
            {"typ": "DPOP+JWT"},
            {"typ": None},
            {"alg": "none"},
            {"alg": "RS256"},
            {"alg": "EdDSA"},
            {"alg": ["ES256"]},
            {"crit": ["exp"]},
            {"jwk": None},
            {"jwk": "key"},
            {"jwk": {}},
            {"jwk": ED25519_JWK},
            {"jwk": {**P256_JWK, "d": "AA"}},
            {"jwk": {**P256_JWK, "crv": "P-384"}},
            {"jwk": {**P256_JWK, "x": P256_JWK["y"]}},
            {"jwk": {**P256_JWK, "x": 1}},
            {"jwk": {**P256_JWK, "use": "enc"}},
            {"jwk": {"kty": "oct", "k": "AAAA"}},
        ],
    )
    def test_of_headers(self, header: dict[str, Any]) -> None:
        merged = {"typ": "dpop+jwt", "alg": "ES256", "jwk": P256_JWK, **header}
        assert code_of(request_with(_signed({k: v for k, v in merged.items() if v is not None}, CLAIMS))) == "dpop_invalid"

    def test_of_symmetric_and_rsa_keys(self) -> None:
        secret = {"kty": "oct", "k": packed(b"k" * 32).decode()}
        assert code_of(request_with(proof(header={"jwk": secret}, key=b"k" * 32, algorithm="HS256"))) == "dpop_invalid"
        assert code_of(request_with(proof(key=rsa.generate_private_key(65537, 2048), algorithm="RS256"))) == "dpop_invalid"

    def test_of_another_key_s_signature(self) -> None:
        assert code_of(request_with(proof(key=generate_private_key(SECP256R1())))) == "dpop_invalid"

    def test_of_none_or_several(self) -> None:
        assert code_of(request_with()) == "dpop_invalid"
        with pytest.raises(Unauthenticated, match="exactly one"):
            checked(request_with(proof(), proof({"jti": "j-2"})))

    @pytest.mark.parametrize("claims", [{}, {"ath": ""}, {"ath": 1}, {"ath": ATH + "="}, {"ath": ATH[:-1] + "é"}, {"ath": TOKEN}])
    def test_of_a_proof_for_another_token_or_none(self, claims: dict[str, Any]) -> None:
        assert code_of(request_with(proof(claims)), TOKEN) == "dpop_invalid"

    @pytest.mark.parametrize(
        "field",
        [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c.d",
            "!.!.!",
            "é.b.c",
            "e30.e30.AA",
            "W10.W10.AA",
            "bnVsbA.bnVsbA.AA",
            "A" * 5000,
            "e30=.e30.AA",
        ],
    )
    def test_of_what_is_no_proof(self, field: str) -> None:
        assert code_of(request_with(field)) == "dpop_invalid"

    @pytest.mark.parametrize(
        "text",
        [
            b'{"jti":"j","htm":"POST","htm":"GET","htu":"https://gateway/v1/customers","iat":%d}',
            b'{"jti":"j","htm":"GET","htu":"https://gateway/v1/customers","iat":%d,"x":NaN}',
            b'{"jti":"j","htm":"GET","htu":"https://gateway/v1/customers","iat":%d,"x":\xff}',
            b'{"jti":"j","htm":"GET","htu":"https://gateway/v1/customers","iat":%d,"x":' + b"[" * 1150 + b"]" * 1150 + b"}",
        ],
    )
    def test_of_json_that_is_ambiguous_or_none(self, text: bytes) -> None:
        encoded = _signed_text(msgspec.json.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": P256_JWK}), text % int(NOW))
        assert code_of(request_with(encoded)) == "dpop_invalid"

    def test_of_infinite_times(self) -> None:
        text = b'{"jti":"j","htm":"GET","htu":"https://gateway/v1/customers","iat":1e999}'
        encoded = _signed_text(msgspec.json.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": P256_JWK}), text)
        assert code_of(request_with(encoded)) == "dpop_invalid"


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return _signed_text(msgspec.json.encode(header), msgspec.json.encode(claims))


def _signed_text(header: bytes, claims: bytes) -> str:
    """Whatever bytes, signed rightly by ES256: a maker of JWTs would not let them pass."""
    data = packed(header) + b"." + packed(claims)
    signature = jwt.get_algorithm_by_name("ES256").sign(data, P256)
    return (data + b"." + packed(signature)).decode()


class TestReplays:
    def test_a_proof_comes_once_for_its_key(self) -> None:
        proofs = DpopProofs(MemoryReplays(), lambda: NOW)
        made = proof()
        assert checked(request_with(made), by=proofs)
        assert code_of(request_with(made), by=proofs) == "replayed"
        assert code_of(request_with(proof()), by=proofs) == "replayed"  # the same jti, signed anew
        assert checked(request_with(proof({"jti": "j-2"})), by=proofs)
        assert checked(request_with(proof(header={"jwk": ED25519_JWK}, key=ED25519, algorithm="EdDSA")), by=proofs)

    def test_it_is_remembered_for_as_long_as_it_would_be_accepted(self) -> None:
        clock = [NOW]
        proofs = DpopProofs(MemoryReplays(clock=lambda: clock[0]), lambda: clock[0])
        made = proof({"iat": NOW + 60})
        assert checked(request_with(made), by=proofs)
        clock[0] = NOW + 120
        assert code_of(request_with(made), by=proofs) == "replayed"
        clock[0] = NOW + 121
        assert code_of(request_with(made), by=proofs) == "dpop_invalid"

    def test_half_a_surrogate_pair_is_a_jti_like_any_other(self) -> None:
        text = b'{"jti":"\\ud800","htm":"GET","htu":"https://gateway/v1/customers","iat":%d}' % int(NOW)
        made = _signed_text(msgspec.json.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": P256_JWK}), text)
        proofs = DpopProofs(MemoryReplays(), lambda: NOW)
        assert checked(request_with(made), by=proofs)
        assert code_of(request_with(made), by=proofs) == "replayed"

    async def test_a_store_that_answers_later_is_waited_for(self) -> None:
        answers: list[bool] = [True, False]

        class Later:
            async def is_new(self, key: str, ttl_s: float) -> bool:
                if not answers:
                    raise Unavailable("down")
                return answers.pop(0)

        proofs, outcomes = DpopProofs(Later(), lambda: NOW), []
        for _ in range(3):
            waiting = proofs.check(request_with(proof()), token=None)
            assert not isinstance(waiting, str)
            try:
                outcomes.append(await waiting)
            except (Unauthenticated, Unavailable) as error:
                outcomes.append(error.specific_code)
        assert outcomes == [thumbprint(P256_JWK), "replayed", "unavailable"]


PROOF = proof({"ath": ATH})


class TestFuzz:
    @settings(max_examples=200, deadline=None)
    @given(at=st.integers(0, len(PROOF) - 1), byte=st.integers(0x21, 0x7E), how=st.sampled_from(["set", "insert", "delete"]))
    def test_no_changed_proof_passes(self, at: int, byte: int, how: str) -> None:
        after = PROOF[:at] + ("" if how == "delete" else chr(byte)) + PROOF[at if how == "insert" else at + 1 :]
        if after != PROOF:
            assert code_of(request_with(after), TOKEN) == "dpop_invalid"

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=80))
    def test_whatever_comes_is_refused_in_good_order(self, field: str) -> None:
        request = made_request("GET", "/")
        request._headers = {"dpop": field}
        assert code_of(request, TOKEN) == "dpop_invalid"


class TestATokenBoundToAKey:
    """The whole of RFC 9449 §7: the platform's own token, its bearer means, and proofs."""

    def _token(self) -> str:
        return Tokens(snapshot_of()).make("shop", SHOP_KEY, SCOPES, jkt=thumbprint(P256_JWK))

    def _asked(self, means: Bearer, token: str, proof_: str | None, scheme: str = "DPoP") -> Identity:
        fields = {"authorization": f"{scheme} {token}", **({"dpop": proof_} if proof_ is not None else {})}
        identity = means.identify(made_request("GET", "/v1/customers", headers=fields))
        assert isinstance(identity, Identity)
        return identity

    def _proof(self, token: str, jti: str = "j-1", **more: Any) -> str:
        ath = packed(hashlib.sha256(token.encode()).digest()).decode()
        return proof({"jti": jti, "htu": "http://gateway/v1/customers", "iat": int(time.time()), "ath": ath}, **more)

    def test_is_taken_with_a_fresh_proof_of_that_key_each_time(self) -> None:
        means, token = bearer(proofs=DpopProofs(MemoryReplays())), self._token()
        for number in range(3):
            assert self._asked(means, token, self._proof(token, f"j-{number}")).app == "shop"

    @pytest.mark.parametrize("case", ["replayed", "no proof", "another token's", "another key's", "as Bearer"])
    def test_is_refused_otherwise(self, case: str) -> None:
        means, token = bearer(proofs=DpopProofs(MemoryReplays())), self._token()
        good = self._proof(token)
        assert self._asked(means, token, good).app == "shop"
        given = {
            "replayed": (good, "DPoP", "replayed"),
            "no proof": (None, "DPoP", "dpop_invalid"),
            "another token's": (self._proof(self._token(), "j-2"), "DPoP", "dpop_invalid"),
            "another key's": (
                self._proof(token, "j-2", header={"jwk": ED25519_JWK}, key=ED25519, algorithm="EdDSA"),
                "DPoP",
                "token_binding",
            ),
            "as Bearer": (self._proof(token, "j-2"), "Bearer", "token_binding"),
        }
        field, scheme, code = given[case]
        with pytest.raises(Unauthenticated) as refused:
            self._asked(means, token, field, scheme)
        assert refused.value.specific_code == code
