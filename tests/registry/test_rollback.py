"""Back to an earlier revision: what was declared then, from the audit, as one audited change."""

import asyncio
from typing import Any

import pytest

from config.problem import InvalidDocument
from core.database import Database
from core.errors import Conflict, InvalidInput
from registry.credentials import Credentials
from registry.registry import Registry
from registry.snapshot import build_snapshot
from registry.sql_resources import SqlResources
from registry.tokens import SigningKeys
from registry.vault import Vault
from tests.registry.sample import ADAPTERS, SECRETS, document, source

_APP = {"plan": "gold", "scopes": ["customers:read"]}


@pytest.fixture
def registry(resources: SqlResources, vault: Vault) -> Registry:
    return Registry(resources, vault, ADAPTERS)


async def _changed(registry: Registry) -> int:
    """A platform that was changed in every way; the revision before."""
    await registry.apply(document(), actor="li")
    then = await registry.revision()
    await registry.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
    await registry.put("app", "shop", {**_APP, "plan": "silver"}, actor="li")
    await registry.put("app", "shop", {**_APP, "plan": "silver", "enabled": False}, actor="li")
    await registry.delete("app", "broker", actor="li")
    await registry.put("source", "sales", {**source(), "title": "another"}, actor="li")
    await registry.put("app", "passing", _APP, actor="li")
    await registry.delete("app", "passing", actor="li")
    return then


@pytest.mark.req("0.37")
async def test_everything_declared_is_what_it_was(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    before = await registry.export()
    then = await _changed(registry)
    assert await registry.export() != before
    done = await registry.rollback(then, actor="wang")
    assert await registry.export() == before
    assert {(each.kind, each.name, each.action) for each in done if each.action != "same"} == {
        ("app", "shop", "update"),
        ("app", "broker", "create"),
        ("source", "sales", "update"),
        ("plan", "silver", "delete"),
    }
    opened = await build_snapshot(resources, vault, ADAPTERS)  # its secrets still open
    assert opened.platform.sources["sales"].settings["password"].reveal() == SECRETS[0]


async def test_it_is_audited_and_can_itself_be_taken_back(registry: Registry) -> None:
    then = await _changed(registry)
    changed, last = await registry.export(), await registry.revision()
    await registry.rollback(then, actor="wang")
    assert {entry.actor for entry in await registry.audit(limit=await registry.revision() - last)} == {"wang"}
    await registry.rollback(last, actor="wang")
    assert await registry.export() == changed


async def test_a_dry_run_says_the_same_and_changes_nothing(registry: Registry) -> None:
    then = await _changed(registry)
    changed, last = await registry.export(), await registry.revision()
    planned = await registry.rollback(then, actor="wang", dry_run=True)
    assert (await registry.export(), await registry.revision()) == (changed, last)
    assert await registry.rollback(then, actor="wang") == planned
    assert not any(secret in repr(planned) for secret in SECRETS)


async def test_where_nothing_has_changed_nothing_is_done(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    last = await registry.revision()
    assert {each.action for each in await registry.rollback(last, actor="wang")} == {"same"}
    assert await registry.revision() == last


async def test_keys_and_users_are_no_part_of_it(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    then = await registry.revision()
    await SigningKeys(resources, vault).ensure()
    credentials = Credentials(resources, vault)
    kept = await credentials.issue("app", "shop", actor="li")
    await credentials.issue("app", "broker", actor="li")
    await registry.delete("app", "broker", actor="li")
    await registry.rollback(then, actor="wang")
    assert [each.key for each in await credentials.of("app", "shop")] == [kept.key]
    assert await credentials.of("app", "broker") == []  # it went with the app, and does not come back
    assert (await build_snapshot(resources, vault, ADAPTERS)).signing_keys


async def test_keys_of_an_app_that_goes_go_with_it(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    then = await registry.revision()
    await registry.put("app", "fresh", _APP, actor="li")
    await Credentials(resources, vault).issue("app", "fresh", actor="li")
    await registry.rollback(then, actor="wang")
    assert not [resource for resource in (await resources.all())[1] if resource.body.get("owner") == "fresh"]


@pytest.mark.parametrize("revision", [-1, 10_000])
async def test_a_revision_that_is_not_behind_is_refused(registry: Registry, revision: int) -> None:
    await registry.apply(document(), actor="li")
    with pytest.raises(InvalidInput, match=f"no revision {revision} .*at revision 7"):
        await registry.rollback(revision, actor="wang")


@pytest.mark.parametrize("lost", ["revision = 9", "revision <= 9", "revision >= 12", "revision > 0"])
async def test_an_audit_with_a_gap_is_no_ground_to_go_back_on(registry: Registry, database: Database, lost: str) -> None:
    then = await _changed(registry)
    before, last = await registry.export(), await registry.revision()
    async with database.transaction() as session:
        await session.execute(f"DELETE FROM resource_audit WHERE {lost}")
    with pytest.raises(Conflict, match=f"does not reach back to revision {then}") as caught:
        await registry.rollback(then, actor="wang")
    assert caught.value.specific_code == "audit_incomplete"
    assert (await registry.export(), await registry.revision()) == (before, last)


async def test_what_was_then_must_hold_now(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    """In the middle of an apply the app was there and its service was not yet."""
    await registry.apply(document(), actor="li")
    audit = {entry.name: entry.revision for entry in await registry.audit()}
    with pytest.raises(InvalidDocument, match="customers"):
        await registry.rollback(audit["shop"], actor="wang")
    assert len(await registry.list("service")) == 1


async def test_more_changes_than_a_page_of_the_audit(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.rollback._PAGE", 2)
    await registry.apply(document(), actor="li")
    before = await registry.export()
    await registry.rollback(await _changed(registry), actor="wang")
    assert await registry.export() == before


async def test_one_who_was_faster_is_not_overwritten(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    then = await _changed(registry)
    other = Registry(resources, vault, ADAPTERS)
    bodies: list[dict[str, Any]] = [{"per_s": n, "burst": n} for n in range(1, 4)]
    await asyncio.gather(
        registry.rollback(then, actor="wang"), *(other.put("plan", f"p{n}", body, actor="li") for n, body in enumerate(bodies))
    )
    revisions = [entry.revision for entry in await registry.audit(limit=1000)]
    assert revisions == list(range(await registry.revision(), 0, -1))
    assert (await registry.get("app", "shop")).body["plan"] == "gold"
