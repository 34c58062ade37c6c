"""What an apply would change is told by resource and field, and no secret is shown."""

import copy
from pathlib import Path
from typing import Any

import pytest

from config.diff import Change, Difference, differences, lines
from config.load import load_platform, parse_document
from config.model import Platform
from tests.config.sample import ADAPTERS, PLATFORM, VARIABLES


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "platform.yaml"
    path.write_text(PLATFORM)
    return load_platform(path, VARIABLES, ADAPTERS)


def changed(found: list[Difference]) -> list[Difference]:
    return [each for each in found if each.action != "same"]


def test_same_in_other_words_is_the_same(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["plans"]["standard"]["title"] = ""
    other["sources"]["crm"]["guard"] = {"concurrency": 4}
    other["sources"]["crm"]["datasets"]["customers"]["fields"]["mobile"] = {"type": "text"}
    other["apps"]["shop"]["enabled"] = True
    found = differences(parse_document(document, ADAPTERS), other)
    assert changed(found) == []
    assert ("app", "shop") in [(each.kind, each.name) for each in found]


def test_fields_that_change(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["services"]["customers"]["filters"] = ["mobile", "name"]
    other["services"]["customers"]["freshness"] = {"app_s": 1.0}
    other["sources"]["crm"]["datasets"]["customers"]["fields"]["name"]["max_length"] = 60
    [source, service] = changed(differences(document, other))
    assert (source.kind, source.name, source.fields) == ("source", "crm", ["datasets.customers.fields.name.max_length"])
    assert source.changes == [Change("datasets.customers.fields.name.max_length", 50, 60)]
    assert service.fields == ["filters", "freshness.app_s"]


def test_created_and_deleted_in_an_order_that_keeps_references(document: dict[str, Any]) -> None:
    created = differences(Platform(), document)
    assert {each.action for each in created} == {"create"}
    assert [each.kind for each in created][:3] == ["plan", "proxy", "app"]
    deleted = differences(document, {})
    assert {each.action for each in deleted} == {"delete"}
    assert [each.kind for each in deleted] == [each.kind for each in created][::-1]


def test_changed_secret_is_seen_and_masked(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["sources"]["crm"]["settings"]["password"] = "another-word"
    other["sources"]["crm"]["settings"]["port"] = 1434
    other["sources"]["web"]["settings"]["auth"]["token"] = "changed"
    found = changed(differences(document, other, ADAPTERS))
    assert found[0].changes == [Change("settings.port", 1433, 1434), Change("settings.password", "***", "***")]
    assert found[1].changes == [Change("settings.auth.token", "***", "***")]
    without_types = changed(differences(document, other))
    assert "s3cret-word" not in repr(without_types)
    assert "another-word" not in repr(without_types)
    assert without_types[0].fields == ["settings.port", "settings.password"]


def test_lines_for_a_terminal(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["plans"]["gold"] = {"per_s": 500, "burst": 500}
    other["apps"]["shop"]["plan"] = "gold"
    del other["jobs"]["tickets"]
    assert list(lines(differences(document, other))) == ["+ plan gold", "~ app shop: plan", "- job tickets"]
