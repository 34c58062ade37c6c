"""Tokens: what is accepted, and every way of forging one that is refused."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.settings import Settings
from core.errors import Unauthenticated, Unavailable
from core.secret import Secret
from gateway.tokens import AUDIENCE, ISSUER, LIFETIME_S, Tokens
from registry.credentials import Credentials, Issued
from registry.registry import Registry
from registry.snapshot import Snapshot, build_snapshot
from registry.tokens import SigningKeys
from server.parts import Parts, open_parts

_DECLARED = {
    "version": 1,
    "plans": {"gold": {"per_s": 10, "burst": 10}},
    "apps": {"shop": {"plan": "gold"}, "reader": {"plan": "gold"}},
}


@dataclass(frozen=True)
class Desk:
    """A registry with its keys, apps and AppKeys, on SQLite."""

    parts: Parts
    snapshot: Snapshot
    issued: dict[str, Issued]
    tokens: dict[str, str]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=tmp_path, master_key=Secret("m" * 32))
        parts = await open_parts(settings, stack, role="gateway-0")
        await SigningKeys(parts.resources, parts.vault).ensure()
        await Registry(parts.resources, parts.vault, parts.adapters).apply(_DECLARED, actor="test")
        credentials = Credentials(parts.resources, parts.vault)
        issued = {name: await credentials.issue("app", name, actor="test") for name in ("shop", "reader")}
        snapshot = await build_snapshot(parts.resources, parts.vault, parts.adapters)
        tokens = {name: Tokens(snapshot).make(name, each.key, ["customers:read"]) for name, each in issued.items()}
        yield Desk(parts, snapshot, issued, tokens)


def _claims(desk: Desk, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "client_id": desk.issued["shop"].key,
        "scope": "customers:read",
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def _signed(desk: Desk, claims: dict[str, Any], *, private: Any = None, kid: str | None = None, algorithm: str = "EdDSA") -> str:
    key = desk.snapshot.signing_keys[0]
    return jwt.encode(claims, private or key.private, algorithm=algorithm, headers={"kid": kid or key.kid})


async def _snapshot(desk: Desk) -> Snapshot:
    return await build_snapshot(desk.parts.resources, desk.parts.vault, desk.parts.adapters)


async def test_a_token_made_here_says_who_and_until_when(desk: Desk) -> None:
    tokens, key = Tokens(desk.snapshot), desk.issued["shop"].key
    identity, expires = tokens.verify(tokens.make("shop", key, ["customers:read", "customers:write"]))
    assert (identity.app, identity.key, identity.scopes) == ("shop", key, frozenset({"customers:read", "customers:write"}))
    assert time.time() + LIFETIME_S - 5 < expires <= time.time() + LIFETIME_S


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": None},
        {"sub": None},
        {"client_id": None},
        {"exp": "soon"},
        {"iat": 4_000_000_000},
    ],
    ids=str,
)
async def test_wrong_or_missing_claims_are_refused(desk: Desk, changed: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Tokens(desk.snapshot).verify(_signed(desk, _claims(desk, **changed)))
    assert caught.value.specific_code == "token_invalid"


async def test_a_node_whose_clock_is_a_little_behind_believes_its_neighbours(desk: Desk) -> None:
    identity, _ = Tokens(desk.snapshot).verify(_signed(desk, _claims(desk, iat=int(time.time()) + 5)))
    assert identity.app == "shop"


def _public_key_as_secret(desk: Desk) -> str:
    public = desk.snapshot.signing_keys[0].public
    # PyJWT refuses to sign with a PEM, so the secret is the raw key, as a forger would also try.
    return _signed(desk, _claims(desk), private=public.public_bytes(Encoding.Raw, PublicFormat.Raw), algorithm="HS256")


def _unsigned(desk: Desk) -> str:
    return jwt.encode(_claims(desk), "", algorithm="none", headers={"kid": desk.snapshot.signing_keys[0].kid})


def _another_key(desk: Desk) -> str:
    return _signed(desk, _claims(desk), private=Ed25519PrivateKey.generate())


def _unknown_kid(desk: Desk) -> str:
    return _signed(desk, _claims(desk), kid="nobody")


def _without_kid(desk: Desk) -> str:
    return jwt.encode(_claims(desk), desk.snapshot.signing_keys[0].private, algorithm="EdDSA")


def _cut(desk: Desk) -> str:
    return _signed(desk, _claims(desk))[:-4]


@pytest.mark.req("0.38")
@pytest.mark.parametrize("forge", [_public_key_as_secret, _unsigned, _another_key, _unknown_kid, _without_kid, _cut])
async def test_a_forged_token_is_refused(desk: Desk, forge: Any) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Tokens(desk.snapshot).verify(forge(desk))
    assert caught.value.specific_code == "token_invalid"


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "\udcff", "é.é.é", "x" * 10_000, "eyJhbGciOiJFZERTQSJ9.e30."])
async def test_what_is_no_token_is_refused(desk: Desk, token: str) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(desk.snapshot).verify(token)


async def test_tokens_of_a_revoked_or_passed_on_key_end_with_the_next_snapshot(desk: Desk) -> None:
    token = desk.tokens["shop"]
    other = _signed(desk, _claims(desk, sub="reader"))
    await Credentials(desk.parts.resources, desk.parts.vault).revoke(desk.issued["shop"].key, actor="test")
    fresh = Tokens(await _snapshot(desk))
    for each, tokens in ((token, fresh), (other, Tokens(desk.snapshot))):
        with pytest.raises(Unauthenticated) as caught:
            tokens.verify(each)
        assert caught.value.specific_code == "token_revoked"


async def test_a_retired_signing_key_ends_its_tokens_and_a_rotated_one_goes_on(desk: Desk) -> None:
    keys = SigningKeys(desk.parts.resources, desk.parts.vault)
    await keys.rotate(actor="test")
    assert Tokens(await _snapshot(desk)).verify(desk.tokens["shop"])[0].app == "shop"
    await keys.retire(desk.snapshot.signing_keys[0].kid, actor="test")
    with pytest.raises(Unauthenticated):
        Tokens(await _snapshot(desk)).verify(desk.tokens["shop"])


async def test_without_a_signing_key_the_node_asks_for_patience(desk: Desk) -> None:
    with pytest.raises(Unavailable, match="signing key"):
        Tokens(replace(desk.snapshot, signing_keys=())).make("shop", "ak", [])
