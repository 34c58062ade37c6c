"""New columns become fields through a real registry: versioned, audited, secrets untouched, also where somebody else is quicker."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.loader import load_adapters
from config.types import convert
from core.errors import Conflict, NotFound
from core.schema import Dataset, Field, SourceColumn
from core.stores import Resource
from exchange.evolution import ACTOR, MAX_FIELDS, Evolution, field_name, with_fields
from registry.registry import Registry
from registry.secret_fields import Sealer
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.sqlite import open_sqlite

DOCUMENT: dict[str, Any] = {
    "sources": {
        "crm": {
            "adapter": "mysql",
            "settings": {"host": "127.0.0.1", "database": "crm", "user": "u", "password": "the password"},
            "datasets": {
                "person": {"object": "person", "key": ["id"], "fields": {"id": "integer", "sex": {"codes": {"1": "male"}}}},
                "order": {"object": "order", "key": ["id"], "fields": {"id": "integer"}},
            },
        }
    }
}
COLUMNS = [SourceColumn("id", "integer"), SourceColumn("ModifiedAt", "datetime"), SourceColumn("note")]


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncIterator[SqlResources]:
    database = await open_sqlite(tmp_path / "registry.db")
    yield SqlResources(database)
    await database.close()


async def _registry(resources: SqlResources, vault: Vault) -> Registry:
    registry = Registry(resources, vault, load_adapters())
    await registry.apply(DOCUMENT, actor="li")
    return registry


@pytest.mark.req("0.31")
async def test_fields_are_added_versioned_and_audited(resources: SqlResources) -> None:
    vault = Vault(bytes(range(32)))
    registry = await _registry(resources, vault)
    dataset = await Evolution(registry)("crm.person", COLUMNS)
    assert dataset.columns == ("id", "sex", "modified_at", "note")
    assert dataset.field("modified_at") == Field("datetime", source="ModifiedAt")
    assert dataset.field("sex").codes == {"1": "male"}
    stored = await registry.get("source", "crm")
    assert (stored.version, stored.body["datasets"]["order"]) == (2, DOCUMENT["sources"]["crm"]["datasets"]["order"])
    assert convert(stored.body["datasets"]["person"], Dataset).columns == dataset.columns
    assert (await registry.audit(limit=1))[0].actor == ACTOR
    kept = await resources.get("source", "crm")
    assert kept is not None
    opened = Sealer(vault, load_adapters()).open("source", "crm", kept.body)
    assert opened["settings"]["password"].reveal() == "the password"
    again = await Evolution(registry)("crm.person", COLUMNS)
    assert again == dataset
    assert (await registry.get("source", "crm")).version == 2  # nothing new, no version


async def test_a_change_by_somebody_else_meanwhile_is_kept(resources: SqlResources, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = await _registry(resources, Vault(bytes(range(32))))
    read, others = registry.get, ["theirs"]

    async def slow_read(kind: str, name: str) -> Resource:
        found = await read(kind, name)
        if others:
            with monkeypatch.context() as own:
                own.setattr(registry, "get", read)  # for `put` looks too
                await registry.put(kind, name, {**found.body, "title": others.pop()}, actor="wang")
        return found

    monkeypatch.setattr(registry, "get", slow_read)
    await Evolution(registry)("crm.person", COLUMNS)
    stored = await read("source", "crm")
    assert (stored.body["title"], "note" in stored.body["datasets"]["person"]["fields"]) == ("theirs", True)
    others += [f"change {number}" for number in range(20)]
    with pytest.raises(Conflict, match="wait for the next run"):
        await Evolution(registry)("crm.person", [SourceColumn("one_more")])
    with pytest.raises(NotFound):
        await Evolution(registry)("gone.person", COLUMNS)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("note", "note"),
        ("ModifiedAt", "modified_at"),
        ("MODIFIED_AT", "modified_at"),
        ("Full Name", "full_name"),
        ("customerID", "customer_id"),
        ("IDCard", "id_card"),
        ("line2", "line_2"),
        ("2nd", None),
        ("地址", None),
        ("", None),
        ("'; DROP TABLE", "drop_table"),
        ("x" * 64, None),
    ],
)
def test_a_column_is_named_as_fields_are(column: str, name: str | None) -> None:
    assert field_name(column) == name


def test_what_stays_out() -> None:
    body = {"object": "t", "key": ["id"], "fields": {"id": "integer", "label": {"from": "Label"}}}
    columns = [
        SourceColumn("Label"),
        SourceColumn("label"),
        SourceColumn("photo", "binary"),
        SourceColumn("地址"),
        SourceColumn("ok"),
    ]
    assert list(with_fields(body, columns)["fields"]) == ["id", "label", "ok"]
    many = with_fields(body, [SourceColumn(f"c_{number}") for number in range(2 * MAX_FIELDS)])
    assert len(many["fields"]) == MAX_FIELDS
