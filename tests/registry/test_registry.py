"""Declared resources through the registry: checked, sealed, masked, audited, applied as a whole."""

import asyncio
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.diff import Difference
from config.problem import InvalidDocument
from core.database import Database
from core.errors import Conflict, NotFound
from registry.credentials import Credentials
from registry.registry import Registry
from registry.secret_fields import Sealer
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.sqlite import open_sqlite
from tests.registry.sample import ADAPTERS, SECRETS, bytes_on_disk, document, source


@pytest.fixture
def registry(resources: SqlResources, vault: Vault) -> Registry:
    return Registry(resources, vault, ADAPTERS)


def _actions(found: Sequence[Difference]) -> set[tuple[str, str, str]]:
    return {(each.kind, each.name, each.action) for each in found if each.action != "same"}


async def _clear_settings(resources: SqlResources, vault: Vault) -> dict[str, Any]:
    kept = await resources.get("source", "sales")
    assert kept is not None
    opened: dict[str, Any] = Sealer(vault, ADAPTERS).open("source", "sales", kept.body)["settings"]
    return opened


@pytest.mark.req("0.37")
async def test_a_whole_document_is_applied_in_one_step(registry: Registry) -> None:
    planned = await registry.diff(document())
    assert await registry.revision() == 0
    assert await registry.apply(document(), actor="li") == planned
    assert _actions(planned) == {
        ("plan", "gold", "create"),
        ("proxy", "partner", "create"),
        ("app", "shop", "create"),
        ("app", "broker", "create"),
        ("source", "sales", "create"),
        ("service", "customers", "create"),
        ("job", "sales-customer", "create"),
    }
    assert [app.name for app in await registry.list("app")] == ["broker", "shop"]
    assert (await registry.get("app", "shop")).body == {"plan": "gold", "scopes": ["customers:read"], "title": "小程序"}


async def test_what_is_applied_again_changes_nothing(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    before = await registry.revision()
    assert _actions(await registry.apply(document(), actor="li")) == set()
    assert await registry.revision() == before
    changed = document()
    changed["plans"]["gold"]["burst"] = 50
    assert _actions(await registry.apply(changed, actor="li")) == {("plan", "gold", "update")}
    assert (await registry.get("app", "shop")).version <= before


async def test_one_problem_refuses_the_whole_and_every_problem_is_told(registry: Registry) -> None:
    wrong = document()
    wrong["apps"]["shop"]["plan"] = "golden"
    wrong["sources"]["sales"]["settings"]["hosst"] = "x"
    wrong["services"]["customers"]["filtres"] = []
    with pytest.raises(InvalidDocument) as caught:
        await registry.apply(wrong, actor="li")
    paths = {".".join(problem.path) for problem in caught.value.problems}
    assert paths >= {"sources.sales.settings.hosst", "services.customers.filtres"}
    assert not any(secret in caught.value.detail for secret in SECRETS)
    assert await registry.revision() == 0
    nonsenses: tuple[Any, ...] = (None, [], "x", {"apps": []}, {"appps": {}})
    for nonsense in nonsenses:
        with pytest.raises(InvalidDocument):
            await registry.apply(nonsense, actor="li")


async def test_prune_deletes_what_the_document_lacks_and_nothing_else_does(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    less = {"version": 1, "plans": {"gold": {"per_s": 100, "burst": 20}, "silver": {"per_s": 1, "burst": 1}}}
    assert _actions(await registry.apply(less, actor="li")) == {("plan", "silver", "create")}
    assert len(await registry.list("app")) == 2
    del less["plans"]
    found = await registry.apply({**less, "plans": {"gold": {"per_s": 100, "burst": 20}}}, actor="li", prune=True)
    assert {action for *_, action in _actions(found)} == {"delete"}
    assert await registry.export() == {"version": 1, "plans": {"gold": {"per_s": 100, "burst": 20}}}


async def test_no_secret_is_shown_logged_or_on_disk_in_clear(registry: Registry, database: Database, tmp_path: Path) -> None:
    await registry.apply(document(), actor="li")
    changed = document()
    changed["sources"]["sales"]["settings"]["password"] = SECRETS[0] + "-2"
    found = await registry.apply(changed, actor="li")
    shown = [repr(await registry.list("source")), repr(await registry.audit()), repr(found), json.dumps(await registry.export())]
    await database.close()
    shown.append(bytes_on_disk(tmp_path).decode(errors="replace"))
    for secret in SECRETS:
        assert not any(secret in text for text in shown)
    assert "***" in shown[0]
    assert "sealed:" not in shown[0] + shown[1]


async def test_a_masked_secret_means_unchanged(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    shown = await registry.get("source", "sales")
    settings = shown.body["settings"]
    assert (settings["password"], settings["headers"], settings["auth"]["password"]) == ("***", {"X-Key": "***"}, "***")
    changed = copy.deepcopy(shown.body)
    changed["settings"]["host"] = "10.0.0.6"
    put = await registry.put("source", "sales", changed, expected=shown.version, actor="li")
    assert put.body["settings"]["host"] == "10.0.0.6"
    clear = await _clear_settings(resources, vault)
    assert (clear["password"].reveal(), clear["headers"]["X-Key"].reveal()) == (SECRETS[0], SECRETS[2])
    assert clear["auth"]["password"].reveal() == SECRETS[3]


async def test_a_mask_without_a_secret_behind_it_is_refused(registry: Registry) -> None:
    wrong = source()
    wrong["settings"]["password"] = "***"
    with pytest.raises(InvalidDocument, match=r"sources\.sales\.settings\.password: \*\*\* stands for the secret that is kept"):
        await registry.put("source", "sales", wrong, actor="li")
    await registry.put("source", "sales", source(), actor="li")
    # Another adapter asks for other secrets, even where their names are the same.
    with pytest.raises(InvalidDocument, match="enter the secret"):
        await registry.put("source", "sales", {**wrong, "adapter": "erp"}, actor="li")


async def test_a_reference_to_the_senders_machine_is_no_secret(registry: Registry) -> None:
    wrong = source()
    wrong["settings"]["password"] = "env:SALES_PASSWORD"
    with pytest.raises(InvalidDocument, match="resolved where the document is loaded"):
        await registry.put("source", "sales", wrong, actor="li")


async def test_an_export_is_applied_again_under_the_same_master_key_only(
    registry: Registry, resources: SqlResources, vault: Vault, tmp_path: Path
) -> None:
    await registry.apply(document(), actor="li")
    exported = await registry.export()
    assert _actions(await registry.diff(exported)) == set()
    renamed = json.loads(json.dumps(exported).replace("sales", "sales-2"))
    elsewhere = await open_sqlite(tmp_path / "elsewhere.db")
    twin = Registry(SqlResources(elsewhere), vault, ADAPTERS)
    await twin.apply(renamed, actor="li")
    assert _actions(await twin.diff(renamed)) == set()
    stranger = Registry(SqlResources(elsewhere), Vault(b"x" * 32), ADAPTERS)
    with pytest.raises(InvalidDocument, match=r"sources\.sales\.settings\.password: source/crm/settings/password: .*master key"):
        await stranger.apply(exported, actor="li")
    await elsewhere.close()


async def test_sealed_text_does_not_open_in_another_place(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    moved = (await registry.export())["sources"]["sales"]
    moved["settings"]["api_key"] = moved["settings"]["password"]
    with pytest.raises(InvalidDocument, match="does not open"):
        await registry.put("source", "sales", moved, actor="li")


async def test_after_a_lost_master_key_secrets_can_be_entered_again(registry: Registry, resources: SqlResources) -> None:
    await registry.apply(document(), actor="li")
    fresh_key = Vault(b"y" * 32)
    again = Registry(resources, fresh_key, ADAPTERS)
    assert _actions(await again.apply(document(), actor="li")) == {("source", "sales", "update")}
    assert (await _clear_settings(resources, fresh_key))["password"].reveal() == SECRETS[0]


@pytest.mark.req("0.37")
async def test_put_makes_replaces_and_guards_by_version(registry: Registry) -> None:
    made = await registry.put("plan", "gold", {"per_s": 1, "burst": 1}, expected=0, actor="li")
    with pytest.raises(Conflict, match="plan gold is at version"):
        await registry.put("plan", "gold", {"per_s": 2, "burst": 1}, expected=0, actor="wang")
    replaced = await registry.put("plan", "gold", {"per_s": 2, "burst": 1}, expected=made.version, actor="wang")
    assert replaced.version > made.version
    same = await registry.put("plan", "gold", {"per_s": 2.0, "burst": 1, "title": ""}, actor="wang")
    assert same.version == replaced.version
    with pytest.raises(InvalidDocument, match=r"apps\.shop\.plan.*golden"):
        await registry.put("app", "shop", {"plan": "golden"}, actor="li")
    with pytest.raises(InvalidDocument, match="lower case"):
        await registry.put("plan", "Gold!", {"per_s": 1, "burst": 1}, actor="li")
    with pytest.raises(NotFound, match="no kind"):
        await registry.put("user", "root", {"role": "operator"}, actor="li")
    with pytest.raises(NotFound, match="no plan silver"):
        await registry.get("plan", "silver")


async def test_a_dataset_that_is_used_cannot_be_taken_away(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    with pytest.raises(InvalidDocument, match=r"customers"):
        await registry.put("source", "sales", {**source(), "datasets": {}}, actor="li")


async def test_an_uninstalled_adapter_does_not_stop_changes_elsewhere(
    registry: Registry, resources: SqlResources, vault: Vault
) -> None:
    await registry.apply(document(), actor="li")
    without = Registry(resources, vault, {"erp": ADAPTERS["erp"]})
    await without.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
    assert (await without.get("source", "sales")).body["settings"]["password"] == "***"


async def test_what_is_used_is_not_deleted_and_the_users_are_named(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    for kind, name, users in (
        ("plan", "gold", "app broker, app shop"),
        ("proxy", "partner", "app broker"),
        ("source", "sales", "service customers, job sales-customer"),
        ("service", "customers", "app broker, app shop"),
    ):
        with pytest.raises(Conflict, match=f"{kind} {name} is still used by {users}") as caught:
            await registry.delete(kind, name, actor="li")
        assert caught.value.specific_code == "in_use"
    shop = await registry.get("app", "shop")
    with pytest.raises(Conflict, match="not at version"):
        await registry.delete("app", "shop", expected=shop.version + 1, actor="li")
    await registry.delete("app", "shop", expected=shop.version, actor="li")
    with pytest.raises(NotFound):
        await registry.delete("app", "shop", actor="li")


@pytest.mark.req("0.36")
async def test_with_an_app_go_its_credentials_in_the_same_commit(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    credentials = Credentials(resources, vault)
    kept, deleted, pruned = [await credentials.issue("app", app, actor="li") for app in ("broker", "shop", "broker")]
    await registry.delete("app", "shop", actor="li")
    assert await credentials.of("app", "shop") == []
    with pytest.raises(NotFound):
        await credentials.reveal(deleted.key)
    assert {each.key for each in await credentials.of("app", "broker")} == {kept.key, pruned.key}
    await registry.apply({"version": 1}, actor="li", prune=True)
    assert await credentials.of("app", "broker") == []
    assert await registry.export() == {"version": 1}


async def test_applies_at_once_follow_each_other(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    """Two registries stand for two processes: each rename refers to the plan it brings, and all of them hold."""
    other = Registry(resources, vault, ADAPTERS)

    def wish(n: int) -> dict[str, Any]:
        plan = {f"plan-{n}": {"per_s": 1, "burst": 1}}
        return {"version": 1, "plans": plan, "apps": {"shared": {"plan": f"plan-{n}"}, f"app-{n}": {"plan": f"plan-{n}"}}}

    await asyncio.gather(*((registry, other)[n % 2].apply(wish(n), actor="li") for n in range(6)))
    assert len(await registry.list("plan")) == 6
    assert len(await registry.list("app")) == 7
    assert _actions(await registry.diff(await registry.export(), prune=True)) == set()


async def test_a_reference_holds_against_a_deletion_at_the_same_time(
    registry: Registry, resources: SqlResources, vault: Vault
) -> None:
    other = Registry(resources, vault, ADAPTERS)
    for n in range(8):
        await registry.put("plan", f"p{n}", {"per_s": 1, "burst": 1}, actor="li")
        outcomes = await asyncio.gather(
            registry.put("app", f"a{n}", {"plan": f"p{n}"}, actor="li"),
            other.delete("plan", f"p{n}", actor="wang"),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, InvalidDocument | Conflict) for outcome in outcomes) == 1


@pytest.mark.req("0.32")
async def test_the_audit_says_who_changed_what(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    await registry.put("plan", "gold", {"per_s": 9, "burst": 20}, actor="wang")
    newest = (await registry.audit(limit=1))[0]
    assert (newest.actor, newest.action, newest.kind, newest.name) == ("wang", "update", "plan", "gold")
    assert (newest.before, newest.after) == ({"per_s": 100.0, "burst": 20}, {"per_s": 9.0, "burst": 20})
    assert len(await registry.audit(before=newest.revision, limit=100)) == 7
