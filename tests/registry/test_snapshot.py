"""The picture that nodes run."""

import dataclasses
import random
from typing import Any

import pytest

from config.types import convert
from core.errors import ConfigError
from core.stores import Delta, Edit, Resource
from registry.credentials import Credentials
from registry.registry import Registry
from registry.snapshot import Snapshot, assemble, build_snapshot, updated
from registry.sql_resources import SqlResources
from registry.tokens import SigningKeys
from registry.vault import Vault
from tests.registry.sample import ADAPTERS, SECRETS, Login, Settings, document


@pytest.fixture
async def registry(resources: SqlResources, vault: Vault) -> Registry:
    registry = Registry(resources, vault, ADAPTERS)
    await registry.apply(document(), actor="li")
    return registry


async def test_it_holds_the_platform_with_its_secrets_open(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    snapshot = await build_snapshot(resources, vault, ADAPTERS)
    assert snapshot.revision == await registry.revision()
    assert snapshot.platform.apps["shop"].scopes == ("customers:read",)
    settings = convert(snapshot.platform.sources["sales"].settings, Settings)
    assert isinstance(settings.auth, Login)
    assert settings.api_key is not None
    opened = (settings.password, settings.api_key, settings.headers["X-Key"], settings.auth.password)
    assert tuple(secret.reveal() for secret in opened) == SECRETS[:4]
    option = snapshot.platform.sources["sales"].datasets["customer"].options["file_password"]
    assert option.reveal() == SECRETS[4]
    assert not any(secret in repr(snapshot) + repr(snapshot.platform) for secret in SECRETS)


async def test_it_never_changes(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    snapshot = await build_snapshot(resources, vault, ADAPTERS)
    await registry.delete("app", "shop", actor="li")
    assert "shop" in snapshot.platform.apps
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.revision = 0  # type: ignore[misc]
    with pytest.raises(TypeError):
        snapshot.credentials["ak_x"] = None  # type: ignore[index]


async def test_an_uninstalled_adapter_stops_its_source_alone(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    snapshot = await build_snapshot(resources, vault, {})
    assert snapshot.platform.apps["shop"].plan == "gold"
    assert snapshot.platform.sources["sales"].settings["password"].startswith("sealed:")


async def test_what_cannot_be_opened_or_understood_is_named(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    with pytest.raises(ConfigError, match=r"source sales: settings\.password: .*master key"):
        await build_snapshot(resources, Vault(b"x" * 32), ADAPTERS)
    for edit in (Edit("plan", "odd", {"per_s": "many"}), Edit("credential", "ak_odd", {"owner_kind": "x"})):
        await resources.commit([edit], actor="a newer version")
        with pytest.raises(ConfigError, match="does not understand"):
            await build_snapshot(resources, vault, ADAPTERS)
        await resources.commit([Edit(edit.kind, edit.name, None)], actor="li")


def told(snapshot: Snapshot) -> tuple[Any, ...]:
    """All that a node runs, in a form that compares."""
    held = {
        key: (each.owner, [(live.secret.reveal(), live.expires_ms) for live in each.secrets])
        for key, each in snapshot.credentials.items()
    }
    stored = sorted(snapshot.stored, key=lambda each: (each.kind, each.name))
    return (
        snapshot.revision,
        snapshot.platform,
        held,
        set(snapshot.verification_keys),
        [key.kid for key in snapshot.signing_keys],
        stored,
    )


async def test_following_the_changes_leads_to_the_same_as_reading_all(
    registry: Registry, resources: SqlResources, vault: Vault
) -> None:
    draw = random.Random(5)
    credentials, keys = Credentials(resources, vault), SigningKeys(resources, vault)
    await keys.ensure()
    followed = await build_snapshot(resources, vault, ADAPTERS)

    async def change() -> None:
        name = f"a{draw.randrange(4)}"
        match draw.randrange(6):
            case 0:
                await registry.put("plan", f"p{draw.randrange(3)}", {"per_s": draw.randrange(1, 99), "burst": 1}, actor="li")
            case 1:
                await registry.put("app", name, {"plan": "gold", "title": str(draw.random())}, actor="li")
            case 2 if (await resources.get("app", name)) is not None:
                await credentials.issue("app", name, actor="li")
            case 3 if (await resources.get("app", name)) is not None:
                await registry.delete("app", name, actor="li")
            case 4:
                await registry.put("source", "sales", {**document()["sources"]["sales"], "title": str(draw.random())}, actor="li")
            case 5:
                await keys.rotate(actor="li")

    for _ in range(40):
        for _ in range(draw.randrange(1, 4)):
            await change()
        followed = await build_snapshot(resources, vault, ADAPTERS, before=followed)
        assert told(followed) == told(await build_snapshot(resources, vault, ADAPTERS))


async def test_what_did_not_change_is_the_same_object(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    before = await build_snapshot(resources, vault, ADAPTERS)
    await registry.put("app", "shop", {"plan": "gold", "title": "another"}, actor="li")
    after = await build_snapshot(resources, vault, ADAPTERS, before=before)
    assert after.platform.apps["shop"].title == "another"
    assert before.platform.apps["shop"].title == "小程序"
    assert after.platform.apps["broker"] is before.platform.apps["broker"]
    assert after.platform.sources is before.platform.sources
    assert after.credentials is not before.credentials  # an app that went would take its keys with it
    await registry.put("plan", "gold", {"per_s": 1, "burst": 1}, actor="li")
    assert (await build_snapshot(resources, vault, ADAPTERS, before=after)).credentials is after.credentials


async def test_a_change_that_cannot_be_understood_is_named_and_the_next_is_taken(
    registry: Registry, resources: SqlResources, vault: Vault
) -> None:
    before = await build_snapshot(resources, vault, ADAPTERS)
    await resources.commit([Edit("plan", "odd", {"per_s": "many"})], actor="a newer version")
    with pytest.raises(ConfigError, match="does not understand: plan odd"):
        await build_snapshot(resources, vault, ADAPTERS, before=before)
    await resources.commit([Edit("plan", "odd", None)], actor="li")
    assert (await build_snapshot(resources, vault, ADAPTERS, before=before)).platform == before.platform


def test_one_change_among_ten_thousand_routes_makes_one_anew(vault: Vault) -> None:
    def made(number: int, version: int = 1) -> Resource:
        body = {"match": {"path": f"/s{number}/{{id}}", "methods": ["GET"]}, "upstream": "u", "policies": {"timeout_s": 5.0}}
        return Resource("route", f"r{number}", body, version, 0)

    upstream = Resource("upstream", "u", {"endpoints": [{"url": "http://10.0.0.1"}]}, 1, 0)
    stored = [upstream, *(made(number) for number in range(10_000))]
    before = assemble(1, stored, vault, {})
    after = updated(before, Delta(2, [made(7, version=2)], [("route", "r8")]), vault, {})
    assert len(after.platform.routes) == 9999
    anew = [name for name, route in after.platform.routes.items() if route is not before.platform.routes[name]]
    assert anew == ["r7"]
