"""AppKeys and AppSecrets: issued, rotated with an overlap, revoked."""

import asyncio
from pathlib import Path

import pytest

from core.database import Database
from core.errors import InvalidInput, NotFound
from core.stores import Edit
from registry.credentials import Credentials, Issued
from registry.registry import Registry
from registry.snapshot import Credential, build_snapshot
from registry.sql_resources import SqlResources
from registry.vault import Vault
from tests.registry.sample import ADAPTERS, bytes_on_disk, document


class Desk:
    """Credentials under a hand-set clock, and what a node's snapshot makes of them."""

    def __init__(self, resources: SqlResources, vault: Vault) -> None:
        self.now_ms = 1_000_000
        self.credentials = Credentials(resources, vault, now_ms=lambda: self.now_ms)
        self._resources, self._vault = resources, vault

    async def issue(self) -> Issued:
        return await self.credentials.issue("app", "shop", actor="li")

    async def known(self, key: str) -> Credential:
        return (await build_snapshot(self._resources, self._vault, ADAPTERS)).credentials[key]

    async def live(self, key: str) -> list[str]:
        return [secret.reveal() for secret in (await self.known(key)).live(self.now_ms)]


@pytest.fixture
async def desk(resources: SqlResources, vault: Vault) -> Desk:
    await Registry(resources, vault, ADAPTERS).apply(document(), actor="li")
    return Desk(resources, vault)


@pytest.mark.req("0.36")
async def test_an_app_and_a_proxy_each_get_a_key_and_a_secret(desk: Desk) -> None:
    app = await desk.issue()
    proxy = await desk.credentials.issue("proxy", "partner", actor="li")
    assert (app.key[:3], proxy.key[:3], len(app.key), len(proxy.key)) == ("ak_", "pk_", 23, 23)
    assert len(app.secret.reveal()) == 43
    assert app.secret != proxy.secret
    known = await desk.known(proxy.key)
    assert (known.owner_kind, known.owner) == ("proxy", "partner")
    assert await desk.live(app.key) == [app.secret.reveal()]
    assert (await desk.credentials.reveal(app.key)).secret == app.secret


async def test_there_is_no_credential_for_nobody(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no app ghost"):
        await desk.credentials.issue("app", "ghost", actor="li")
    for call in (desk.credentials.rotate("ak_x", actor="li"), desk.credentials.revoke("ak_x", actor="li")):
        with pytest.raises(NotFound, match="no credential ak_x"):
            await call
    with pytest.raises(NotFound):
        await desk.credentials.reveal("ak_x")


async def test_a_rotated_secret_works_until_the_overlap_ends(desk: Desk) -> None:
    first = await desk.issue()
    second = await desk.credentials.rotate(first.key, overlap_s=60, actor="li")
    assert second.key == first.key
    assert await desk.live(first.key) == [second.secret.reveal(), first.secret.reveal()]
    (state,) = await desk.credentials.of("app", "shop")
    assert (state.created_ms, state.overlap_ends_ms) == (1_000_000, 1_060_000)
    desk.now_ms += 60_000
    assert await desk.live(first.key) == [second.secret.reveal()]
    assert (await desk.credentials.of("app", "shop"))[0].overlap_ends_ms is None


async def test_at_most_two_secrets_work_and_none_of_before_without_an_overlap(desk: Desk) -> None:
    key = (await desk.issue()).key
    second = await desk.credentials.rotate(key, actor="li")
    third = await desk.credentials.rotate(key, actor="li")
    assert await desk.live(key) == [third.secret.reveal(), second.secret.reveal()]
    fourth = await desk.credentials.rotate(key, overlap_s=0, actor="li")
    assert await desk.live(key) == [fourth.secret.reveal()]
    for overlap_s in (-1, 10**9):
        with pytest.raises(InvalidInput, match="overlap"):
            await desk.credentials.rotate(key, overlap_s=overlap_s, actor="li")


async def test_a_revoked_key_is_unknown(desk: Desk) -> None:
    issued = await desk.issue()
    await desk.credentials.revoke(issued.key, actor="li")
    assert await desk.credentials.of("app", "shop") == []
    with pytest.raises(KeyError):
        await desk.known(issued.key)


async def test_a_credential_whose_owner_is_gone_opens_nothing(desk: Desk, resources: SqlResources) -> None:
    """Whatever wrote it there: an app of the same name that comes later must not find it working."""
    issued = await desk.issue()
    await resources.commit([Edit("app", "shop", None)], actor="someone")
    with pytest.raises(KeyError):
        await desk.known(issued.key)


async def test_secrets_issued_at_once_are_all_kept_and_none_lies_in_clear(desk: Desk, database: Database, tmp_path: Path) -> None:
    issued = await asyncio.gather(*(desk.issue() for _ in range(8)))
    assert len(await desk.credentials.of("app", "shop")) == len({each.key for each in issued}) == 8
    await database.close()
    on_disk = bytes_on_disk(tmp_path)
    assert not any(each.secret.reveal().encode() in on_disk for each in issued)
    assert not any(each.secret.reveal() in repr(each) for each in issued)
