"""Signing keys, judged by PyJWT: what one node signs another verifies, until the key is retired."""

import asyncio
import time

import jwt
import pytest

from core.errors import ConfigError, Conflict, NotFound
from registry.snapshot import Snapshot, build_snapshot
from registry.sql_resources import SqlResources
from registry.tokens import SigningKeys, jwk
from registry.vault import Vault
from tests.registry.sample import ADAPTERS


def _signed(snapshot: Snapshot, now_ms: int) -> str:
    key = snapshot.signing_key(now_ms)
    return jwt.encode({"sub": "shop", "exp": time.time() + 60}, key.private, "EdDSA", headers={"kid": key.kid})


def _subject(snapshot: Snapshot, token: str) -> str:
    public = snapshot.verification_keys[jwt.get_unverified_header(token)["kid"]]
    return str(jwt.decode(token, public, algorithms=["EdDSA"])["sub"])


@pytest.mark.req("0.38")
async def test_the_first_key_is_made_once_by_whoever_is_first(resources: SqlResources, vault: Vault) -> None:
    with pytest.raises(ConfigError, match="no signing key yet"):
        (await build_snapshot(resources, vault, ADAPTERS)).signing_key(0)
    await asyncio.gather(*(SigningKeys(resources, vault).ensure() for _ in range(4)))
    snapshot = await build_snapshot(resources, vault, ADAPTERS)
    assert len(snapshot.verification_keys) == 1
    assert _subject(snapshot, _signed(snapshot, 0)) == "shop"
    assert "private" not in repr(snapshot)


async def test_a_new_key_signs_once_every_node_knows_it_and_the_old_one_still_verifies(
    resources: SqlResources, vault: Vault
) -> None:
    clock = [1_000_000]
    keys = SigningKeys(resources, vault, now_ms=lambda: clock[0])
    await keys.ensure()
    before = await build_snapshot(resources, vault, ADAPTERS)
    old_kid = before.signing_key(clock[0]).kid
    clock[0] += 60_000
    new_kid = await keys.rotate(actor="li")
    after = await build_snapshot(resources, vault, ADAPTERS)
    assert after.signing_key(clock[0]).kid == old_kid
    assert after.signing_key(clock[0] + 5_000).kid == new_kid
    token = _signed(before, clock[0])
    assert _subject(after, token) == "shop"
    with pytest.raises(Conflict, match="rotate first"):
        await keys.retire(new_kid, actor="li")
    await keys.retire(old_kid, actor="li")
    with pytest.raises(KeyError):
        _subject(await build_snapshot(resources, vault, ADAPTERS), token)
    with pytest.raises(NotFound):
        await keys.retire(old_kid, actor="li")


async def test_the_public_key_is_listed_as_other_libraries_read_it(resources: SqlResources, vault: Vault) -> None:
    await SigningKeys(resources, vault).ensure()
    snapshot = await build_snapshot(resources, vault, ADAPTERS)
    (kid, public), token = next(iter(snapshot.verification_keys.items())), _signed(snapshot, 0)
    listed = jwk(public)
    assert listed["kid"] == kid
    assert jwt.decode(token, jwt.PyJWK(listed), algorithms=["EdDSA"])["sub"] == "shop"


async def test_another_master_key_opens_no_signing_key(resources: SqlResources, vault: Vault) -> None:
    await SigningKeys(resources, vault).ensure()
    with pytest.raises(ConfigError, match=r"signing-key/.*master key"):
        await build_snapshot(resources, Vault(b"x" * 32), ADAPTERS)
