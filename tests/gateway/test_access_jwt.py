"""The token reader against published attacks, against PyJWT, and against noise."""

import contextlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt as pyjwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, Unauthenticated
from gateway.access import jwt
from gateway.access.jwk import ALGORITHMS, Algorithm, Ed25519Key, SecretKey, key_of, packed
from gateway.access.jwt import SKEW_S, Claims, check, parsed, signed
from gateway.access.sources import AppClaims

_VECTORS = json.loads((Path(__file__).parents[1] / "data" / "wycheproof_json_web_signature.json").read_text(encoding="utf-8"))
_UNSUPPORTED = ("RS384", "RS512", "PS256", "PS384", "PS512", "ES521")
_FAMILY: dict[str, Algorithm] = {"RSA": "RS256", "EC": "ES256"}  # what a key that names none of ours is tried as
_DIFFERENT = {
    367: "byte for byte the token of vector 357, which is valid: the padding its comment speaks of is not in it",
    370: "the same",
    372: "a `?` stands inside the header's base64url: the vector lets a reader skip it, RFC 7515 §2 does not",
    373: "the same in the payload",
}


def _vectors() -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    groups = _VECTORS["testGroups"]
    return [(each.get("public") or each["private"], test, each["comment"]) for each in groups for test in each["tests"]]


def _is_accepted(key: dict[str, Any], jws: Any) -> bool:
    """As a key set and a bearer would judge it: a key is taken for the algorithm that an issuer declares, or not at all."""
    named = next((each for each in ALGORITHMS if each == key.get("alg")), None)
    algorithm = named or _FAMILY[key["kty"]]
    try:
        return parsed((jws if isinstance(jws, str) else json.dumps(jws)).encode()).is_signed_by(key_of(key, algorithm))
    except (Unauthenticated, ConfigError):
        return False


@pytest.mark.req("0.38")
@pytest.mark.parametrize(("key", "test"), [pytest.param(k, t, id=f"{name}-{t['tcId']}") for k, t, name in _vectors()])
def test_a_published_vector_gets_its_verdict(key: dict[str, Any], test: dict[str, Any]) -> None:
    """What differs: tokens of algorithms that we don't offer are refused whatever the vector says, and `_DIFFERENT`."""
    expected = test["result"] == "valid"
    if test["tcId"] in _DIFFERENT:
        expected = not expected
    assert _is_accepted(key, test["jws"]) == (expected and key.get("alg") not in _UNSUPPORTED)


def test_the_vectors_are_whole_and_the_differences_are_as_explained() -> None:
    by_id = {test["tcId"]: test for _, test, _ in _vectors()}
    assert len(by_id) == _VECTORS["numberOfTests"] == 401
    assert sum(key.get("alg") not in _UNSUPPORTED for key, _, _ in _vectors()) == 316
    assert by_id[367]["jws"] == by_id[370]["jws"] == by_id[357]["jws"]
    assert [by_id[each]["result"] for each in (357, 367, 370)] == ["valid", "invalid", "invalid"]
    assert "?" in by_id[372]["jws"].split(".")[0]
    assert "?" in by_id[373]["jws"].split(".")[1]


_PRIVATE = Ed25519PrivateKey.generate()
_PUBLIC = Ed25519Key(_PRIVATE.public_key())
_SECRET = b"s" * 32
_decoder = msgspec.json.Decoder(Claims)


def _part(value: Any) -> bytes:
    return packed(json.dumps(value).encode())


def _hs256(header: Any, payload: bytes = b"e30") -> bytes:
    head = header if isinstance(header, bytes) else _part(header)
    return head + b"." + payload + b"." + packed(_mac(head + b"." + payload))


def _mac(data: bytes) -> bytes:
    return hmac.digest(_SECRET, data, "sha256")


def test_what_we_sign_others_verify_and_the_reverse() -> None:
    token = signed({"iss": "a", "aud": "b", "exp": 4_000_000_000}, _PRIVATE, kid="k")
    assert pyjwt.decode(token, _PRIVATE.public_key(), algorithms=["EdDSA"], audience="b", issuer="a")["exp"] == 4_000_000_000
    assert pyjwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": "k"}
    assert parsed(pyjwt.encode({"iss": "a"}, _PRIVATE, algorithm="EdDSA").encode()).is_signed_by(_PUBLIC)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "crit": None},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "b64": True},
        {"alg": 7},
        {"alg": ["HS256"]},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": None},
        {},
        ["alg", "HS256"],
        "HS256",
        {"alg": "HS256", "pad": "x" * 1024},
        b"",
        b"e30=",
        b"e3 0",
        packed(b'{"alg":"HS256"'),
        packed(b'\xff{"alg":"HS256"}'),
        packed(b"[" * 700),
    ],
    ids=str,
)
def test_a_header_that_is_not_plain_is_refused(header: Any) -> None:
    with pytest.raises(Unauthenticated) as caught:
        parsed(_hs256(header))
    assert caught.value.specific_code == "token_invalid"


@pytest.mark.parametrize("alg", ["none", "None", "", "hs256", "HS512", "EdDSA"])
def test_the_key_decides_the_algorithm(alg: str) -> None:
    token = parsed(_hs256({"alg": alg}))
    assert not token.is_signed_by(SecretKey(_SECRET))
    assert parsed(_hs256({"alg": "HS256"})).is_signed_by(SecretKey(_SECRET))


def test_of_a_member_given_twice_the_last_counts() -> None:
    """RFC 7515 §4 allows that or a refusal; that it is the last one everywhere is what matters."""
    head = packed(b'{"alg":"none","alg":"HS256"}')
    assert parsed(_hs256(head)).is_signed_by(SecretKey(_SECRET))
    payload = packed(b'{"iss":"x","iss":"a","aud":"b","exp":10}')
    assert jwt.claims_of(parsed(_hs256({"alg": "HS256"}, payload)), _decoder).iss == "a"


def test_a_token_that_is_too_long_is_refused_whatever_is_in_it() -> None:
    assert parsed(_hs256({"alg": "HS256"}, b"A" * 8000)).is_signed_by(SecretKey(_SECRET))
    with pytest.raises(Unauthenticated):
        parsed(_hs256({"alg": "HS256"}, b"A" * 8192))


@pytest.mark.parametrize("payload", [b"", b"7", b"[]", b"{", b"\xff", b'{"iss":"a"}', b'{"iss":"a","aud":7,"exp":1}', b"[" * 5000])
def test_claims_that_are_none_are_refused(payload: bytes) -> None:
    token = parsed(_hs256({"alg": "HS256"}, packed(payload)))
    with pytest.raises(Unauthenticated):
        jwt.claims_of(token, _decoder)


NOW = 1_000_000.0


def _judged(**changed: Any) -> str:
    claims = {"iss": "a", "aud": "b", "exp": NOW + 60, **changed}
    try:
        read = msgspec.convert({name: value for name, value in claims.items() if value is not None}, Claims)
        check(read, issuer="a", audience="b", now=NOW)
    except msgspec.ValidationError:
        return "no claims"
    except Unauthenticated as error:
        return error.specific_code
    return "good"


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "good"),
        ({"aud": ["x", "b"]}, "good"),
        ({"aud": []}, "token_invalid"),
        ({"aud": ["x"]}, "token_invalid"),
        ({"aud": "B"}, "token_invalid"),
        ({"aud": "ab"}, "token_invalid"),
        ({"aud": None}, "no claims"),
        ({"aud": ["b", 7]}, "no claims"),
        ({"iss": "A"}, "token_invalid"),
        ({"iss": ["a"]}, "no claims"),
        ({"exp": NOW}, "token_expired"),
        ({"exp": NOW + 0.5}, "good"),
        ({"exp": -1}, "token_expired"),
        ({"exp": True}, "no claims"),
        ({"exp": "4000000000"}, "no claims"),
        ({"exp": None}, "no claims"),
        ({"nbf": NOW + SKEW_S}, "good"),
        ({"nbf": NOW + SKEW_S + 1}, "token_invalid"),
        ({"iat": NOW + SKEW_S}, "good"),
        ({"iat": NOW + SKEW_S + 1}, "token_invalid"),
        ({"cnf": {"jkt": "x"}}, "good"),
        ({"cnf": {"jwk": {}}}, "no claims"),  # a confirmation that nobody here would check
    ],
    ids=str,
)
def test_the_claims_decide(changed: dict[str, Any], verdict: str) -> None:
    assert _judged(**changed) == verdict


def test_numbers_beyond_all_bounds_are_no_exception() -> None:
    for exp in (b"1e308", b"1e999", b"9" * 400, b"-1e999", b"NaN", b"18446744073709551616"):
        token = parsed(_hs256({"alg": "HS256"}, packed(b'{"iss":"a","aud":"b","exp":' + exp + b"}")))
        try:
            check(jwt.claims_of(token, _decoder), issuer="a", audience="b", now=time.time())
        except Unauthenticated:
            continue


_GOOD = signed({"iss": "a", "aud": "b", "exp": 4_000_000_000}, _PRIVATE, kid="k").encode()


@given(st.integers(0, len(_GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(place: int, change: int) -> None:
    mutated = bytearray(_GOOD)
    mutated[place] ^= change
    with contextlib.suppress(Unauthenticated):
        assert not parsed(bytes(mutated)).is_signed_by(_PUBLIC)


@given(st.one_of(st.binary(max_size=300), st.lists(st.binary(max_size=60).map(packed), min_size=2, max_size=4).map(b".".join)))
def test_noise_is_refused_without_any_other_exception(noise: bytes) -> None:
    with contextlib.suppress(Unauthenticated):
        assert not parsed(noise).is_signed_by(_PUBLIC)


_now = int(time.time())
_odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "a", "b", 0, -1, True, [], ["b"], {}, 1e300, _now, _now + 20, _now + 600, _now - 20]
)
_claims = st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti"]), _odd, max_size=2).map(
    lambda odd: {"iss": "a", "aud": "b", "iat": _now, "exp": _now + 600} | odd
)
_header = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jku"]), _odd).map(
    lambda odd: {"alg": "HS256"} | odd
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_header, _claims)
def test_what_we_accept_others_accept_too(header: dict[str, Any], claims: dict[str, Any]) -> None:
    token = _hs256(header, _part(claims))
    try:
        read = parsed(token)
        assert read.is_signed_by(SecretKey(_SECRET)) == (header["alg"] == "HS256")
        found = jwt.claims_of(read, msgspec.json.Decoder(AppClaims))
        check(found, issuer="a", audience="b", now=time.time())
    except Unauthenticated:
        return
    if header["alg"] == "HS256":
        assert pyjwt.decode(token, _SECRET, algorithms=["HS256"], audience="b", issuer="a", leeway=SKEW_S)["exp"] == found.exp


def test_scopes_are_shared_between_tokens() -> None:
    assert jwt.scopes_of("a:read  b:read") == frozenset({"a:read", "b:read"})
    assert jwt.scopes_of("a:read b:read") is jwt.scopes_of("a:read b:read")
    assert jwt.scopes_of("") == frozenset()
