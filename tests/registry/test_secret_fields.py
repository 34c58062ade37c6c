"""Credentials in a route's headers on their way through the registry: sealed at rest, masked outside, open in a snapshot."""

import copy
from pathlib import Path
from typing import Any

import pytest

from config.load import load_platform
from config.problem import InvalidDocument
from config.upstreams import Route
from core.errors import ConfigError
from core.secret import Secret
from registry.registry import Registry
from registry.secret_fields import Sealer
from registry.snapshot import assemble, build_snapshot
from registry.sql_resources import SqlResources
from registry.vault import Vault, is_sealed
from tests.registry.sample import ADAPTERS, bytes_on_disk

FIRST, SECOND = "Basic c2VjcmV0LW9uZQ==", "Basic c2VjcmV0LXR3bw=="


def document(secret: str | None = FIRST) -> dict[str, Any]:
    edit: dict[str, Any] = {"set": {"X-Tenant": "t1"}}
    if secret is not None:
        edit["secret"] = {"Authorization": secret}
    route = {"match": {"path": "/crm/{rest...}"}, "upstream": "crm", "policies": {"transform": {"request_headers": edit}}}
    return {"version": 1, "upstreams": {"crm": {"endpoints": [{"url": "http://127.0.0.1:9"}]}}, "routes": {"crm": route}}


def secret_of(body: Any) -> Any:
    return body["policies"]["transform"]["request_headers"]["secret"]["Authorization"]


@pytest.fixture
def registry(resources: SqlResources, vault: Vault) -> Registry:
    return Registry(resources, vault, ADAPTERS)


async def _clear(resources: SqlResources, vault: Vault) -> Any:
    route: Route = (await build_snapshot(resources, vault, ADAPTERS)).platform.routes["crm"]
    assert route.policies.transform is not None
    assert route.policies.transform.request_headers is not None
    return route.policies.transform.request_headers.secret


async def test_it_is_sealed_where_it_is_kept_and_open_in_a_snapshot(
    registry: Registry, resources: SqlResources, vault: Vault, tmp_path: Path
) -> None:
    await registry.apply(document(), actor="li")
    kept = await resources.get("route", "crm")
    assert kept is not None
    assert is_sealed(secret_of(kept.body))
    assert await _clear(resources, vault) == {"Authorization": Secret(FIRST)}
    snapshot = await build_snapshot(resources, vault, ADAPTERS)
    assert FIRST not in repr(snapshot)
    assert FIRST not in repr(snapshot.platform)
    assert FIRST.encode() not in bytes_on_disk(tmp_path)


async def test_nothing_that_leaves_the_registry_tells_it(registry: Registry) -> None:
    await registry.apply(document(), actor="li")
    done = await registry.apply(document(SECOND), actor="li")
    (change,) = [each for each in done if each.kind == "route"]
    assert (change.action, [(each.before, each.after) for each in change.changes]) == ("update", [("***", "***")])
    shown = [
        repr(each)
        for each in (
            await registry.list("route"), await registry.get("route", "crm"), await registry.audit(), await registry.export(), done,
            await registry.rollback(1, actor="li", dry_run=True),
        )
    ]  # fmt: skip
    assert [text for text in shown if FIRST in text or SECOND in text] == []
    assert secret_of((await registry.get("route", "crm")).body) == "***"


async def test_a_new_one_is_in_the_next_snapshot_and_the_rest_of_it_is_the_same(
    registry: Registry, resources: SqlResources, vault: Vault
) -> None:
    await registry.apply(document(), actor="li")
    before = await build_snapshot(resources, vault, ADAPTERS)
    same = await registry.apply(document(), actor="li")
    assert {each.action for each in same} == {"same"}, "sealing anew is no change"
    await registry.apply(document(SECOND), actor="li")
    after = await build_snapshot(resources, vault, ADAPTERS, before=before)
    transform = after.platform.routes["crm"].policies.transform
    assert transform is not None
    assert transform.request_headers is not None
    assert transform.request_headers.secret == {"Authorization": Secret(SECOND)}
    assert after.platform.upstreams["crm"] is before.platform.upstreams["crm"]
    await registry.rollback(before.revision, actor="li")
    assert await _clear(resources, vault) == {"Authorization": Secret(FIRST)}


async def test_what_was_read_masked_can_be_put_again(registry: Registry, resources: SqlResources, vault: Vault) -> None:
    await registry.apply(document(), actor="li")
    body = copy.deepcopy((await registry.get("route", "crm")).body)
    body["policies"]["transform"]["request_headers"]["set"] = {"X-Tenant": "t2"}
    await registry.put("route", "crm", body, actor="li")
    assert await _clear(resources, vault) == {"Authorization": Secret(FIRST)}
    exported = await registry.export()
    await registry.apply(exported, actor="li")
    assert await _clear(resources, vault) == {"Authorization": Secret(FIRST)}


async def test_one_that_is_not_there_refuses_the_declaration(registry: Registry, vault: Vault) -> None:
    await registry.apply({**document(), "routes": {}}, actor="li")
    place = r"routes\.crm\.policies\.transform\.request_headers"
    strange = Vault(b"x" * 32).seal(FIRST, context="route/policies/transform/request_headers/secret")
    for text, why in (
        ("***", "there is none; enter the secret"),
        (strange, "does not open with this master key"),
        (vault.seal(FIRST, context="source/crm/settings/password"), "does not open"),
        ("env:CRM_LOGIN", "send the secret itself"),
        ("", "it is empty"),
        (f"{FIRST}\r\nX-Admin: 1", "no line break"),
    ):
        declared = document(text)
        for attempt in (
            lambda declared=declared: registry.apply(declared, actor="li"),
            lambda declared=declared: registry.put("route", "crm", declared["routes"]["crm"], actor="li"),
        ):
            with pytest.raises(InvalidDocument, match=f"{place}.*{why}") as refused:
                await attempt()
            assert FIRST not in str(refused.value)
    assert await registry.list("route") == []


def test_a_file_names_where_its_secrets_are(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    text = (
        "version: 1\nupstreams: {crm: {endpoints: [{url: 'http://127.0.0.1:9'}]}}\nroutes:\n  crm:\n    match: {path: /crm}\n"
        "    upstream: crm\n    policies:\n      transform:\n        request_headers:\n          secret:\n"
        "            Authorization: "
    )
    path.write_text(f"{text}env:CRM_LOGIN\n", encoding="utf-8")
    with pytest.raises(InvalidDocument, match=r"platform\.yaml:11.*environment variable CRM_LOGIN is not set"):
        load_platform(path, {}, {})
    assert secret_of(load_platform(path, {"CRM_LOGIN": FIRST}, {})["routes"]["crm"]) == FIRST
    (tmp_path / "login").write_text(f"{SECOND}\n", encoding="utf-8")
    path.write_text(f"{text}file:login\n", encoding="utf-8")
    assert secret_of(load_platform(path, {}, {})["routes"]["crm"]) == SECOND
    path.write_text(f"{text}file:nowhere\n", encoding="utf-8")
    with pytest.raises(InvalidDocument, match=r"secret file .*nowhere cannot be read"):
        load_platform(path, {}, {})


async def test_under_another_master_key_the_snapshot_names_the_route(registry: Registry, resources: SqlResources) -> None:
    await registry.apply(document(), actor="li")
    revision, stored = await resources.all()
    with pytest.raises(ConfigError, match=r"route crm: policies\.transform\.request_headers\.secret\.Authorization: .*master key"):
        assemble(revision, stored, Vault(b"y" * 32), ADAPTERS)


def test_a_route_without_secrets_is_not_copied(vault: Vault) -> None:
    body = document(None)["routes"]["crm"]
    assert Sealer(vault, ADAPTERS).open("route", "crm", body) == body


@pytest.mark.parametrize(
    ("kind", "body", "place", "words"),
    [
        ("webhook", {"secrets": ["x" * 24, "short"]}, "webhooks.a.secrets.1", "24 to 64 bytes"),
        ("webhook", {"secrets": ["whsec_!"]}, "webhooks.a.secrets.0", "no base64"),
        ("contact", {"webhook_secret": "whsec_!"}, "contacts.a.webhook_secret", "no base64"),
    ],
)
def test_a_secret_that_cannot_sign_is_refused_while_it_is_in_clear(
    vault: Vault, kind: str, body: dict[str, Any], place: str, words: str
) -> None:
    sealer = Sealer(vault, ADAPTERS)
    for given in (body, _sealed_by_hand(vault, kind, body)):
        with pytest.raises(InvalidDocument) as refused:
            sealer.seal(kind, "a", given, None)
        (problem,) = refused.value.problems
        assert (".".join(problem.path), words in problem.text) == (place, True)
    assert is_sealed(sealer.seal("webhook", "a", {"secrets": ["x" * 24]}, None)["secrets"][0])
    assert is_sealed(sealer.seal("contact", "a", {"webhook_secret": "any"}, None)["webhook_secret"])


def _sealed_by_hand(vault: Vault, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """As an export of another node with this master key would hold it."""
    if kind == "contact":
        return {"webhook_secret": vault.seal(body["webhook_secret"], context="contact/webhook_secret")}
    return {"secrets": [vault.seal(each, context="webhook/secrets") for each in body["secrets"]]}
