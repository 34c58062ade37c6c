"""Certificates, subjects and issuers that make no sense are named with their place."""

from typing import Any

import msgspec
import pytest

from config.check_access import access_problems
from config.model import Platform

_PRINT = "0123456789abcdef" * 4
_KEY = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}
_ISSUER = {"issuer": "https://a", "audience": "z", "algorithm": "ES256", "jwks_url": "https://a/jwks"}


def _found(apps: dict[str, Any] | None = None, issuers: dict[str, Any] | None = None) -> dict[str, str]:
    named = {name: {"plan": "p", **app} for name, app in (apps or {}).items()}
    document = {"apps": named, "issuers": {name: {**_ISSUER, **each} for name, each in (issuers or {}).items()}}
    return {".".join(problem.path): problem.text for problem in access_problems(msgspec.convert(document, Platform))}


def test_a_sensible_platform_has_no_problem() -> None:
    apps = {
        "shop": {"certificates": [_PRINT, "CN=shop"], "subjects": {"login": ["a"], "other": ["a"]}},
        "till": {"certificates": ["CN=till"], "subjects": {"login": ["b"]}},
    }
    other = {"issuer": "https://b", "jwks_url": None, "keys": [_KEY]}
    assert _found(apps, {"login": {}, "other": other}) == {}


def test_a_certificate_is_written_right_and_stands_for_one_app() -> None:
    found = _found({"shop": {"certificates": [_PRINT, "shop"]}, "till": {"certificates": ["CN=till", _PRINT.upper()]}})
    assert found.keys() == {"apps.shop.certificates.1", "apps.till.certificates.1"}
    assert "'shop' is neither" in found["apps.shop.certificates.1"]
    assert "app 'shop' already" in found["apps.till.certificates.1"]


def test_a_subject_belongs_to_a_declared_issuer_and_to_one_app() -> None:
    apps = {"shop": {"subjects": {"login": ["a", "b"]}}, "till": {"subjects": {"login": ["c", "b"], "logn": ["a"]}}}
    found = _found(apps, {"login": {}})
    assert found.keys() == {"apps.till.subjects.login.1", "apps.till.subjects.logn"}
    assert "did you mean 'login'" in found["apps.till.subjects.logn"]


@pytest.mark.parametrize(
    ("changed", "place", "text"),
    [
        ({"issuer": "zhiyun"}, "issuer", "the platform itself"),
        ({"issuer": "https://b"}, "issuer", "issuer 'first'"),
        ({"jwks_url": None}, "", "one place"),
        ({"keys": [_KEY]}, "", "one place"),
        ({"scope_claim": "aud"}, "scope_claim", "meaning of its own"),
        ({"jwks_url": None, "keys": [{"kty": "RSA"}]}, "keys.0", "kty EC and crv P-256"),
        ({"jwks_url": None, "keys": [_KEY, {**_KEY, "crv": "P-384"}]}, "keys.1", "no key for ES256"),
        ({"jwks_url": None, "keys": [{**_KEY, "d": "x"}]}, "keys.0", "private key (d)"),
        ({"jwks_url": None, "algorithm": "RS256", "keys": [_KEY]}, "keys.0", "it needs kty RSA"),
    ],
)
def test_an_issuer_that_can_not_work_is_named(changed: dict[str, Any], place: str, text: str) -> None:
    found = _found(issuers={"first": {"issuer": "https://b"}, "login": changed})
    assert list(found) == [f"issuers.login.{place}".rstrip(".")]
    assert text in next(iter(found.values()))
