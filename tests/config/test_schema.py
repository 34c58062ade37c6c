"""The JSON Schema agrees with the loader on good and bad documents, as far as a schema can."""

import copy
import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no stubs
import pytest

from config.schema import json_schema
from config.starter import starter_text
from config.yaml_text import parse
from tests.config.sample import ADAPTERS, PLATFORM


def written(text: str) -> Any:
    """The document as an editor sees it: nothing interpolated."""
    return parse(text.replace("${", "$${"), "f.yaml", {})[0]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(json.dumps(json_schema(ADAPTERS)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", [PLATFORM, starter_text()], ids=["sample", "starter"])
def test_right_documents_pass(validator: jsonschema.Draft202012Validator, text: str) -> None:
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(written(text))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("apps", "shop", "plna"), "x"),
        (("apps", "Shop"), {"plan": "x"}),
        (("plans", "standard", "per_s"), "fast"),
        (("sources", "crm", "adapter"), "oracle"),
        (("sources", "crm", "settings", "hots"), "x"),
        (("sources", "crm", "settings", "port"), 99999),
        (("sources", "crm", "settings", "password"), 5),
        (("sources", "crm", "datasets", "customers", "options", "shema"), "x"),
        (("sources", "web", "settings", "auth", "tokn"), "x"),
        (("sources", "drops", "settings", "database"), "belongs to another adapter"),
        (("services", "points", "kind"), "realtme"),
        (("jobs", "tickets", "schedule", "every_s"), 0),
    ],
)
def test_wrong_documents_fail(validator: jsonschema.Draft202012Validator, path: tuple[str, ...], value: Any) -> None:
    document = copy.deepcopy(written(PLATFORM))
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert not validator.is_valid(document)


def test_platform_without_adapters_has_a_schema_too() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema({}))
