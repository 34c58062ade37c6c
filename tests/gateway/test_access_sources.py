"""Whose tokens are believed, and for which app: an app's own, a trusted issuer's, the platform's with its devices and proxies."""

import re
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa

from core.errors import ConfigError
from gateway.access.jwt import parsed
from gateway.access.key_sets import KeySet, usable
from gateway.access.sources import subjects, token_sources
from gateway.identity import Identity
from gateway.tokens import Tokens
from tests.gateway.access_desk import (
    DEVICE,
    ISSUER,
    JKT,
    OLD_SECRET,
    PARTNER,
    SCOPES,
    SHOP_KEY,
    Found,
    app_token,
    bearer,
    document,
    ec_jwk,
    identified,
    issuer_token,
    refusal,
    snapshot_of,
    with_token,
)


def _named(value: object) -> str:
    """A test's name that does not change with the hour."""
    return re.sub(r"\d{9,}", "moment", str(value))[:40]


def _dated(changed: dict[str, Any]) -> dict[str, Any]:
    """`("now", 300)` becomes the moment in 300 s: of the test, which may come long after the tests were collected."""
    return {name: int(time.time()) + value[1] if isinstance(value, tuple) else value for name, value in changed.items()}


class TestAppTokens:
    """HS256 with the AppSecret."""

    def test_scopes_are_the_apps_unless_the_token_names_fewer(self) -> None:
        means = bearer()
        assert identified(means, with_token(app_token())).scopes is None
        assert identified(means, with_token(app_token(scope="customers:read"))).scopes == frozenset({"customers:read"})
        assert identified(means, with_token(app_token(scope=""))).scopes == frozenset()

    def test_the_older_secret_works_until_its_overlap_ends(self) -> None:
        clock = [time.time()]
        means = bearer(now=lambda: clock[0])
        old, new = app_token(OLD_SECRET), app_token()
        assert [refusal(means, with_token(each)) for each in (old, new)] == ["let in", "let in"]
        clock[0] += 61
        assert refusal(means, with_token(old)) == "token_invalid"  # the memo ends with the secret
        assert refusal(means, with_token(new)) == "let in"

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"sub": SHOP_KEY}, "let in"),
            ({"sub": "shop"}, "token_invalid"),
            ({"aud": "another"}, "token_invalid"),
            ({"aud": None}, "token_invalid"),
            ({"iat": None}, "token_invalid"),
            ({"exp": None}, "token_invalid"),
            ({"exp": ("now", -1)}, "token_expired"),
            ({"exp": ("now", 7200)}, "token_invalid"),  # it would live for two hours
            ({"iss": "ak_carried"}, "token_invalid"),  # another app's key
            ({"iss": "ak_nobody"}, "token_invalid"),
        ],
        ids=_named,
    )
    def test_wrong_claims_are_refused(self, changed: dict[str, Any], code: str) -> None:
        assert refusal(bearer(), with_token(app_token(**_dated(changed)))) == code

    def test_only_the_secret_of_an_app_signs(self) -> None:
        assert refusal(bearer(), with_token(app_token("x" * 43))) == "token_invalid"
        assert refusal(bearer(), with_token(app_token("p" * 43, iss="pk_partner"))) == "token_invalid"
        assert refusal(bearer(), with_token(app_token("short" * 8, iss="ak_weak"))) == "token_invalid"
        assert refusal(bearer(), with_token(app_token("s" * 64, algorithm="HS512"))) == "token_invalid"


class TestIssuerTokens:
    """A third party's."""

    def test_the_subject_stands_for_its_app_and_scopes_come_in_both_forms(self) -> None:
        means = bearer()
        for scope, expected in (("a:read b:read", {"a:read", "b:read"}), (["a:read"], {"a:read"}), (None, set())):
            assert identified(means, with_token(issuer_token(scope=scope))).scopes == frozenset(expected)

    def test_another_claim_may_name_the_app_and_the_subject_is_then_a_person(self) -> None:
        declared = document()
        declared["issuers"]["login"] |= {"subject_claim": "client_id", "scope_claim": "scp"}
        means = bearer(snapshot_of(declared))
        token = issuer_token(client_id="shop-client", sub="li.lei", scp=["customers:read"], jti="s9")
        expected = Identity("shop", "", frozenset({"customers:read"}), session="s9", user="li.lei")
        assert identified(means, with_token(token)) == expected
        assert refusal(means, with_token(issuer_token())) == "subject_unknown"

    def test_an_issuer_whose_tokens_have_no_scopes_is_declared_as_such(self) -> None:
        declared = document()
        declared["issuers"]["login"]["scope_claim"] = ""
        assert identified(bearer(snapshot_of(declared)), with_token(issuer_token())).scopes is None
        declared["issuers"]["login"]["scope_claim"] = "aud"
        with pytest.raises(ConfigError, match="aud"):
            bearer(snapshot_of(declared))

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"sub": "stranger"}, "subject_unknown"),
            ({"sub": None}, "subject_unknown"),
            ({"sub": ""}, "subject_unknown"),
            ({"sub": 7}, "token_invalid"),
            ({"aud": "another"}, "token_invalid"),
            ({"aud": "zhiyun"}, "token_invalid"),
            ({"exp": 1}, "token_expired"),
            ({"nbf": ("now", 300)}, "token_invalid"),
            ({"scope": 7}, "token_invalid"),
            ({"kid": "k2"}, "token_key_unknown"),
            ({"kid": None}, "token_key_unknown"),
            ({"private": generate_private_key(SECP256R1())}, "token_invalid"),
            ({"private": Ed25519PrivateKey.generate(), "algorithm": "EdDSA"}, "token_invalid"),
            ({"private": generate_rsa(65537, 2048), "algorithm": "RS256"}, "token_invalid"),
        ],
        ids=_named,
    )
    def test_what_is_wrong_is_refused(self, changed: dict[str, Any], code: str) -> None:
        assert refusal(bearer(), with_token(issuer_token(**_dated(changed)))) == code

    def test_a_key_that_is_taken_back_ends_its_tokens_after_a_refresh(self) -> None:
        clock = [time.time()]
        keys = KeySet(usable([ec_jwk(PARTNER, "k1")], "ES256"))
        means = bearer(keys={"login": keys}, now=lambda: clock[0])
        token = issuer_token(exp=int(clock[0]) + 3600)
        assert refusal(means, with_token(token)) == "let in"
        keys.replace({})
        clock[0] += 299
        assert refusal(means, with_token(token)) == "let in"
        clock[0] += 2
        assert refusal(means, with_token(token)) == "token_key_unknown"

    def test_a_disabled_issuer_is_nobody(self) -> None:
        declared = document()
        declared["issuers"]["login"]["enabled"] = False
        assert refusal(bearer(snapshot_of(declared)), with_token(issuer_token())) == "token_invalid"

    def test_no_issuer_takes_the_platforms_name(self) -> None:
        declared = document()
        declared["issuers"]["login"]["issuer"] = "zhiyun"
        snapshot = snapshot_of(declared)
        means = bearer(snapshot)
        assert refusal(means, with_token(issuer_token(iss="zhiyun"))) == "token_invalid"
        assert refusal(means, with_token(Tokens(snapshot).make("shop", SHOP_KEY, SCOPES))) == "let in"

    def test_the_platforms_name_may_be_its_address(self) -> None:
        tokens = Tokens(snapshot_of(), issuer="https://api.example")
        sources = token_sources(snapshot_of().platform, tokens, {"login": Found({})})
        assert sources.keys() == {"https://api.example", ISSUER}
        token = parsed(tokens.make("shop", SHOP_KEY, SCOPES).encode())
        assert sources["https://api.example"].verify(token, time.time()).identity.app == "shop"

    def test_a_subject_of_two_apps_stands_for_neither(self) -> None:
        declared = document()
        declared["apps"]["carried"]["subjects"] = {"login": ["shop-client", "other"]}
        apps = snapshot_of(declared).platform.apps
        assert subjects(apps, "login") == {"other": "carried"}
        assert subjects(apps, "elsewhere") == {}


class TestPlatformTokens:
    """Devices and proxies; the rest is in test_tokens."""

    def _refusal(self, app: str, key: str, declared: dict[str, Any] | None = None, **changed: Any) -> str:
        snapshot = snapshot_of(declared)
        token = Tokens(snapshot).make(app, key, SCOPES, **changed)
        proofs = type("Proofs", (), {"check": lambda self, request, *, token: JKT})()
        return refusal(bearer(snapshot, proofs=proofs), with_token(token, "DPoP" if "jkt" in changed else "Bearer"))

    def test_a_device_needs_its_own_key_and_its_own_app(self) -> None:
        assert self._refusal("shop", SHOP_KEY, device="till", jkt=JKT) == "let in"
        assert self._refusal("shop", SHOP_KEY, device="till", jkt="another") == "token_revoked"
        assert self._refusal("shop", SHOP_KEY, device="till") == "token_revoked"
        assert self._refusal("carried", "ak_carried", device="till", jkt=JKT) == "token_revoked"
        for name in ("off", "bare", "nothing"):
            assert self._refusal("shop", SHOP_KEY, device=name, jkt=JKT) == "token_revoked"

    def test_a_device_with_a_new_key_ends_the_old_ones_tokens(self) -> None:
        declared = document()
        declared["devices"]["till"]["key"] = {**DEVICE, "x": "A" * 43}
        assert self._refusal("shop", SHOP_KEY, declared, device="till", jkt=JKT) == "token_revoked"

    @pytest.mark.parametrize(
        ("app", "key", "actor", "code"),
        [
            ("carried", "pk_partner", "partner", "let in"),
            ("carried", "ak_carried", "partner", "let in"),
            ("shop", "pk_partner", "partner", "token_revoked"),  # not its app
            ("carried", "pk_partner", "", "token_revoked"),  # a proxy's key without the proxy
            ("carried", "pk_closed", "partner", "token_revoked"),  # another proxy's key
            ("stranded", "pk_closed", "closed", "token_revoked"),  # disabled
            ("carried", SHOP_KEY, "partner", "token_revoked"),
        ],
    )
    def test_a_proxy_acts_for_its_own_apps_while_it_may(self, app: str, key: str, actor: str, code: str) -> None:
        assert self._refusal(app, key, actor=actor) == code

    def test_identity_says_which_device_and_who_acts(self) -> None:
        snapshot = snapshot_of()
        tokens = Tokens(snapshot)
        token = tokens.make("carried", "pk_partner", ["customers:read"], session="s1", actor="partner")
        expected = Identity("carried", "pk_partner", frozenset({"customers:read"}), session="s1", actor="partner")
        assert identified(bearer(snapshot), with_token(token)) == expected
        device = tokens.make("shop", SHOP_KEY, [], session="s2", device="till", jkt=JKT, lifetime_s=60)
        identity, expires = tokens.verify(device)
        assert (identity.device, identity.session) == ("till", "s2")
        assert time.time() + 50 < expires <= time.time() + 60
