"""JSON Schema 2020-12, compiled once: which places of a value are wrong, named as `body.items[2].price`.

No reference to another document is ever fetched; patterns run in bounded time.
"""

import re
from typing import Any, NoReturn
from urllib.parse import quote

import jsonschema_rs

from core.errors import ConfigError

MAX_PROBLEMS = 5
_MAX_CHARS = 160
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
_PLAIN_NAME = re.compile(r"\w+")
_URI = "%!#$&'()*+,/:;=?@[]~"
_DOCUMENT = "urn:zhiyun:document"


class Schema:
    """One schema; with a `registry` it may refer to its document. Raises ConfigError that begins with `where`."""

    def __init__(self, schema: Any, where: str, *, registry: jsonschema_rs.Registry | None = None) -> None:
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                _with_uris(schema), validate_formats=True, offline=True, registry=registry, pattern_options=_PATTERNS
            )
        except ValueError as error:
            raise ConfigError(f"{where}: the schema can't be used: {_first_line(error)}") from None

    def problems(self, value: Any, name: str) -> list[str]:
        """What is wrong, at most `MAX_PROBLEMS`; empty where nothing is. `name` is what the value is called."""
        if self._validator.is_valid(value):
            return []
        found = []
        for error in self._validator.iter_errors(value):
            found.append(f"{name}{_place(error.instance_path)}: {_cut(error.message)}")
            if len(found) == MAX_PROBLEMS:
                break
        return found


def registry_of(document: dict[str, Any], where: str) -> jsonschema_rs.Registry:
    """A whole document whose parts are schemas. Raises ConfigError."""
    try:
        return jsonschema_rs.Registry([(_DOCUMENT, _with_uris(document))], draft=jsonschema_rs.Draft202012, retriever=_refuse)
    except ValueError as error:
        raise ConfigError(f"{where}: {_first_line(error)}") from None


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is another document; none is ever fetched")


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0].replace(_DOCUMENT, "")


def part(pointer: str) -> dict[str, str]:
    """The schema that stands in a registry's document at a JSON pointer."""
    return {"$ref": f"{_DOCUMENT}#{pointer}"}


def escaped(step: str) -> str:
    """A step of a JSON pointer in a URI fragment (RFC 6901 §6)."""
    return quote(step.replace("~", "~0").replace("/", "~1"), safe="~", errors="replace")


def _with_uris(schema: Any) -> Any:
    """References as people write them (`#/components/schemas/客户`) made the URIs that they must be (RFC 3986 §3.5)."""
    if isinstance(schema, dict):
        return {
            name: quote(value, safe=_URI) if name == "$ref" and isinstance(value, str) else _with_uris(value)
            for name, value in schema.items()
        }
    return [_with_uris(item) for item in schema] if isinstance(schema, list | tuple) else schema


def _place(path: list[str | int]) -> str:
    steps = []
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        else:
            steps.append(f".{step}" if _PLAIN_NAME.fullmatch(step) else f"[{step[:60]!r}]")
    return "".join(steps)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS // 2]} … {text[-_MAX_CHARS // 2 :]}"
