"""The JSON Schema (2020-12) of `platform.yaml`, with the settings and options of each adapter, for editors and forms."""

from collections.abc import Mapping
from typing import Any

import msgspec

from config.address import Address
from config.model import Platform, Source
from core.adapter import Adapter
from core.secret import Secret

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"}
_FORMS_OF_SECRETS = "plain text, env:NAME, file:/path or sealed:…"


def json_schema(adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """The schema of the file as a person writes it: `${NAME}` may stand for any scalar, and `adapter` decides the rest of a source.

    For `# yaml-language-server: $schema=…`. What it can't say (references, schedules) `config.check` says.
    """
    types = [Platform, *(part for adapter in adapters.values() for part in (adapter.settings, adapter.options))]
    (platform, *parts), definitions = msgspec.json.schema_components(types, schema_hook=custom_type, ref_template="#/$defs/{name}")
    source = definitions[Source.__name__]
    source["properties"]["adapter"] = {"enum": sorted(adapters), "description": "; ".join(_titles(adapters))}
    if adapters:  # an empty allOf is not allowed
        own = zip(adapters, parts[::2], parts[1::2], strict=True)
        source["allOf"] = [_when(name, settings, options) for name, settings, options in own]
    return {
        "$schema": DIALECT,
        "title": "Zhiyun platform document",
        "$ref": platform["$ref"],
        "$defs": {name: _with_references(definition) for name, definition in definitions.items()},
    }


def _titles(adapters: Mapping[str, Adapter]) -> list[str]:
    return [f"{name}: {adapter.title}" for name, adapter in sorted(adapters.items())]


def custom_type(kind: type) -> dict[str, Any]:
    """The types that msgspec does not know; see `config.types`."""
    if kind is Secret:
        return {"type": "string", "description": _FORMS_OF_SECRETS}
    return {"type": "string", **({"pattern": r":\d+$"} if kind is Address else {})}


def _when(adapter: str, settings: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    datasets = {"additionalProperties": {"properties": {"options": options}}}
    return {
        "if": {"properties": {"adapter": {"const": adapter}}, "required": ["adapter"]},
        "then": {"properties": {"settings": settings, "datasets": datasets}},
    }


def _with_references(schema: Any) -> Any:
    """Let `${NAME}` stand where a number or boolean is expected, and where a text has a pattern; not for keys."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: item if key in ("default", "propertyNames", "if") else _with_references(item) for key, item in schema.items()}
    is_strict = schema.get("type") in ("integer", "number", "boolean") or (schema.get("type") == "string" and "pattern" in schema)
    if not is_strict:
        return result
    outer = {key: result.pop(key) for key in ("title", "description", "default") if key in result}
    return {**outer, "anyOf": [result, _REFERENCE]}
