"""API keys: every live secret is taken, nothing else is, and the key stays here."""

import base64
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Unauthenticated
from gateway.access.api_key import ApiKey
from gateway.http1.head import parse_request
from gateway.http1.refused import Refused
from gateway.identity import Identity
from gateway.stage import Request
from tests.gateway.access_desk import OLD_SECRET, SHOP_KEY, SHOP_SECRET, basic, credentials, identified, refusal, request_of

_SHOP = Identity("shop", SHOP_KEY, means="key")
_MEANS = ApiKey(credentials())


def _with(**headers: str) -> Request:
    return request_of("GET", "/v1/customers", headers={name.replace("_", "-"): value for name, value in headers.items()})


def _raw(*lines: bytes) -> Request:
    return parse_request(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def test_both_forms_let_the_app_in() -> None:
    assert identified(_MEANS, _with(x_api_key=f"{SHOP_KEY}.{SHOP_SECRET}")) == _SHOP
    assert identified(_MEANS, _with(authorization=basic(SHOP_KEY, SHOP_SECRET))) == _SHOP
    assert identified(_MEANS, _with(authorization=basic(SHOP_KEY, SHOP_SECRET).replace("Basic", "bAsIc"))) == _SHOP
    assert identified(_MEANS, _raw(b"X-API-KEY:\t " + f"{SHOP_KEY}.{SHOP_SECRET}".encode() + b" \t")) == _SHOP


def test_it_is_used_where_one_of_the_fields_is_there() -> None:
    assert _MEANS.is_used(_with(x_api_key="x"))
    assert _MEANS.is_used(_with(authorization="Basic x"))
    for other in (
        _with(),
        _with(x_api_key=""),
        _with(authorization="Bearer x"),
        _with(x_api_key_id="1"),
        _with(accept="x-api-key: 1"),
    ):
        assert not _MEANS.is_used(other)
    assert not _MEANS.needs_body(_with())


def test_the_older_secret_works_until_its_overlap_ends() -> None:
    clock = [time.time()]
    means = ApiKey(credentials(), now=lambda: clock[0])
    old, new = (_with(x_api_key=f"{SHOP_KEY}.{secret}") for secret in (OLD_SECRET, SHOP_SECRET))
    assert [refusal(means, each) for each in (old, new)] == ["let in", "let in"]
    basic_old = _with(authorization=basic(SHOP_KEY, OLD_SECRET))
    assert [clock[0] + 58 < means.holds_until(each) <= clock[0] + 60 for each in (old, basic_old)] == [True, True]
    assert means.holds_until(new) == math.inf
    clock[0] += 61
    assert [refusal(means, each) for each in (old, new)] == ["key_invalid", "let in"]
    for each in (old, basic_old):
        with pytest.raises(Unauthenticated):
            means.holds_until(each)


@pytest.mark.req("0.38")
@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        SHOP_KEY,
        f"{SHOP_KEY}.",
        f".{SHOP_SECRET}",
        f"{SHOP_KEY}.{SHOP_SECRET[:-1]}",
        f"{SHOP_KEY}.{SHOP_SECRET}x",
        f"{SHOP_KEY}:{SHOP_SECRET}",
        f"ak_nobody.{SHOP_SECRET}",
        f"ak_carried.{SHOP_SECRET}",
        f"pk_partner.{'p' * 43}",
        f"{SHOP_KEY}.{SHOP_SECRET}, {SHOP_KEY}.{SHOP_SECRET}",
        "é.é",
    ],
)
def test_a_wrong_key_is_refused_in_both_forms(key: str) -> None:
    if key:
        assert refusal(_MEANS, _with(x_api_key=key)) == "key_invalid"
    name, _, secret = key.partition(".")
    assert refusal(_MEANS, _with(authorization=basic(name, secret))) == "key_invalid"


@pytest.mark.parametrize("encoded", ["", "%", "YWI", "YWI=YWI=", base64.b64encode(b"no colon").decode(), "a b"])
def test_a_malformed_basic_is_refused(encoded: str) -> None:
    assert refusal(_MEANS, _with(authorization=f"Basic {encoded}")) == "key_invalid"


def test_a_key_that_is_given_twice_is_refused_even_if_both_are_right() -> None:
    line = f"X-Api-Key: {SHOP_KEY}.{SHOP_SECRET}".encode()
    assert refusal(_MEANS, _raw(line)) == "let in"
    with pytest.raises(Refused, match="more than one"):
        _raw(line, line.lower())
    both = _with(x_api_key=f"{SHOP_KEY}.{SHOP_SECRET}", authorization=basic(SHOP_KEY, SHOP_SECRET))
    assert refusal(_MEANS, both) == "key_invalid"


@given(st.binary(max_size=100), st.sampled_from([b"Basic ", b"basic ", b""]))
def test_noise_lets_nobody_in(noise: bytes, scheme: bytes) -> None:
    request: Any = request_of("GET", "/")
    request.authorization = scheme + noise
    assert refusal(_MEANS, request) == "key_invalid"
    request.authorization, request.api_key = b"", noise
    assert refusal(_MEANS, request) == "key_invalid"
