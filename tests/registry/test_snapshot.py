"""The picture that nodes run."""

import dataclasses

import pytest

from config.types import convert
from core.errors import ConfigError
from core.stores import Edit
from registry.registry import Registry
from registry.snapshot import build_snapshot
from registry.sql_resources import SqlResources
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
