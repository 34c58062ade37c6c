"""An OpenAPI 3.1 document, compiled: which operation a request is, and what its parameters and body must be like.

Parameters: path (`simple`), query (`form`) and header (`simple`), of plain values or lists of them; cookies are not looked at. What
the document asks for beyond that is refused when it is loaded, so that nothing passes unchecked by mistake.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from core.errors import ConfigError
from gateway.json_schema import Schema, escaped, part, registry_of
from gateway.json_text import decoded, is_json

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_UNCHECKED_HEADERS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3.1.0 §4.8.12.2: such definitions are ignored
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_MAX_STEPS = 16
_MAX_DIGITS = 40  # no number of a parameter is longer
_VARIABLE = re.compile(r"\{([^{}/]+)\}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")

Place = Literal["path", "query", "header"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kinds` are the JSON types it may have, `item_kinds` those of a list's items."""

    name: str
    place: Place
    is_required: bool
    is_list: bool
    explodes: bool
    kinds: frozenset[str]
    item_kinds: frozenset[str]
    schema: Schema

    def problems(self, given: list[str]) -> list[str]:
        """`given`: the values as they stand in the request, decoded."""
        shown = f"{self.place}.{self.name}"
        if not given:
            return [f"{shown}: it is required"] if self.is_required else []
        if self.is_list:
            texts = given if self.explodes else [text for value in given for text in value.split(",")]
            return self.schema.problems([typed(text, self.item_kinds) for text in texts], shown)
        if len(given) > 1:
            return [f"{shown}: it is given {len(given)} times"]
        return self.schema.problems(typed(given[0], self.kinds), shown)


@dataclass(frozen=True, slots=True)
class Body:
    """`schemas` by media type or range; None: taken unchecked."""

    is_required: bool
    schemas: Mapping[str, Schema | None]

    def find(self, content_type: str) -> tuple[bool, Schema | None]:
        """Whether this type is taken, and what checks it."""
        media = content_type.partition(";")[0].strip().lower()
        for each in (media, f"{media.partition('/')[0]}/*", "*/*"):
            if each in self.schemas:
                return True, self.schemas[each]
        return False, None


@dataclass(frozen=True, slots=True)
class Operation:
    parameters: tuple[Parameter, ...]
    body: Body | None


@dataclass(frozen=True, slots=True)
class _Variable:
    """A segment with variables, such as `{id}` or `{name}.{type}`."""

    text: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    node: "_Node"


@dataclass(frozen=True, slots=True)
class _Node:
    """A place in the tree of paths, by segments."""

    fixed: dict[str, "_Node"] = field(default_factory=dict)
    variables: list[_Variable] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)


Found = tuple[Mapping[str, Operation], dict[str, str]]
"""The operations of a path by method in lower case, and what its variables hold."""


class Operations:
    """Raises ConfigError that begins with `where` and names the place in the document."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        version = document.get("openapi")
        if not isinstance(version, str) or not version.startswith("3.1"):
            raise ConfigError(f"{where}: expected an OpenAPI 3.1 document, but its `openapi` is {version!r}")
        self._root = _Node()
        self._prefix = _server_path(document)
        reader = _Reader(document, where)
        for path, pointer, item in reader.paths():
            node = self._root
            for segment in path[1:].split("/"):
                node = _following(node, segment)
            node.operations.update(reader.operations(pointer, item))

    def find(self, path: str) -> Found | None:
        """By the path of a request, percent-encoding kept. Raises ValueError for one that is no UTF-8."""
        if self._prefix and path.startswith(self._prefix + "/"):
            path = path[len(self._prefix) :]
        segments = [unquote(segment, errors="strict") if "%" in segment else segment for segment in path[1:].split("/")]
        return _walk(self._root, segments, 0)


def _walk(node: _Node, segments: list[str], index: int) -> Found | None:
    """Fixed segments win over variable ones (OpenAPI 3.1.0 §4.8.8.2)."""
    if index == len(segments):
        return (node.operations, {}) if node.operations else None
    following = node.fixed.get(segments[index])
    if following is not None and (found := _walk(following, segments, index + 1)) is not None:
        return found
    for variable in node.variables:
        match = variable.pattern.fullmatch(segments[index])
        if match is not None and (found := _walk(variable.node, segments, index + 1)) is not None:
            return found[0], {**dict(zip(variable.names, match.groups(), strict=True)), **found[1]}
    return None


def _following(node: _Node, segment: str) -> _Node:
    """The node behind a segment of a path template; made where there is none."""
    names = _VARIABLE.findall(segment)
    if not names:
        return node.fixed.setdefault(unquote(segment), _Node())
    known = next((each for each in node.variables if each.text == segment), None)
    if known is None:
        literals = [re.escape(unquote(text)) for text in _VARIABLE.split(segment)[::2]]
        known = _Variable(segment, re.compile("(.+?)".join(literals), re.DOTALL), tuple(names), _Node())
        node.variables.append(known)
    return known.node


def _server_path(document: dict[str, Any]) -> str:
    """The path that the first server's URL puts in front of all."""
    servers = document.get("servers")
    url = servers[0].get("url") if isinstance(servers, list) and servers and isinstance(servers[0], dict) else ""
    return urlsplit(url).path.rstrip("/") if isinstance(url, str) and "{" not in url else ""


class _Reader:
    """Walks one document. Each part is known by its JSON pointer, so that schemas may refer to others of the document."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        self._document = document
        self._where = where
        self._registry = registry_of(document, where)

    def paths(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path template, pointer and path item."""
        paths = self._document.get("paths")
        if not isinstance(paths, dict) or not paths:
            raise ConfigError(f"{self._where}: the document has no `paths`")
        for path, item in paths.items():
            if not path.startswith("/"):
                raise ConfigError(f"{self._where}: path {path!r} does not begin with /")
            pointer, resolved = self._resolved(f"/paths/{escaped(path)}", item)
            yield path, pointer, resolved

    def operations(self, pointer: str, item: dict[str, Any]) -> dict[str, Operation]:
        return {
            method: self._operation(f"{pointer}/{method}", item[method], (f"{pointer}/parameters", item.get("parameters", [])))
            for method in _METHODS
            if method in item
        }

    def _operation(self, pointer: str, declared: dict[str, Any], shared: tuple[str, list[Any]]) -> Operation:
        """An operation's own parameters win over those of its path."""
        parameters: dict[tuple[str, str], Parameter] = {}
        for at, listed in (shared, (f"{pointer}/parameters", declared.get("parameters", []))):
            for index, each in enumerate(listed):
                made = self._parameter(*self._resolved(f"{at}/{index}", each))
                if made is not None:
                    parameters[made.name, made.place] = made
        body = declared.get("requestBody")
        return Operation(tuple(parameters.values()), None if body is None else self._body(f"{pointer}/requestBody", body))

    def _parameter(self, pointer: str, declared: dict[str, Any]) -> Parameter | None:
        name, place = declared.get("name"), declared.get("in")
        if not isinstance(name, str) or place not in (*_STYLES, "cookie"):
            raise self._wrong(pointer, "a parameter needs a `name`, and `in`: path, query, header or cookie")
        if place == "cookie" or (place == "header" and name.lower() in _UNCHECKED_HEADERS):
            return None
        if "schema" not in declared or declared.get("style", _STYLES[place]) != _STYLES[place]:
            raise self._wrong(pointer, f"only parameters with a `schema` in the style {_STYLES[place]} can be checked")
        kinds = self._kinds(declared["schema"])
        if "object" in kinds:
            raise self._wrong(pointer, "a parameter that is an object can't be checked")
        is_list = "array" in kinds
        return Parameter(
            name=name,
            place=place,
            is_required=bool(declared.get("required")) or place == "path",
            is_list=is_list,
            explodes=bool(declared.get("explode", place == "query")) and place == "query",
            kinds=kinds,
            item_kinds=self._kinds(self._items(declared["schema"])) if is_list else frozenset(),
            schema=self._schema(f"{pointer}/schema"),
        )

    def _body(self, pointer: str, body: dict[str, Any]) -> Body:
        pointer, declared = self._resolved(pointer, body)
        schemas: dict[str, Schema | None] = {}
        for media, described in declared.get("content", {}).items():
            is_checked = (is_json(media) or media in ("*/*", "application/*")) and "schema" in described
            at = f"{pointer}/content/{escaped(media)}/schema"
            schemas[media.partition(";")[0].strip().lower()] = self._schema(at) if is_checked else None
        return Body(bool(declared.get("required")), schemas)

    def _schema(self, pointer: str) -> Schema:
        return Schema(part(pointer), f"{self._where}: {pointer}", registry=self._registry)

    def _kinds(self, schema: Any, depth: int = 0) -> frozenset[str]:
        """The JSON types that a schema names, itself or by what it refers to; empty: any."""
        if not isinstance(schema, dict) or depth > _MAX_STEPS:
            return frozenset()
        if "$ref" in schema:
            schema = {**self._target(schema["$ref"]), **{name: value for name, value in schema.items() if name != "$ref"}}
        named = schema.get("type", [])
        found = frozenset([named] if isinstance(named, str) else named)
        parts = [each for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, [])]
        return found.union(*(self._kinds(each, depth + 1) for each in parts))

    def _items(self, schema: Any) -> Any:
        return (self._target(schema["$ref"]) if "$ref" in schema else schema).get("items")

    def _resolved(self, pointer: str, declared: Any) -> tuple[str, dict[str, Any]]:
        """A part, or what it refers to (OpenAPI 3.1.0 §4.8.23), and where that stands."""
        for _ in range(_MAX_STEPS):
            if not isinstance(declared, dict):
                break
            if "$ref" not in declared:
                return pointer, declared
            pointer, declared = str(declared["$ref"]).removeprefix("#"), self._target(declared["$ref"])
        raise self._wrong(pointer, "it is no object, or refers to itself")

    def _target(self, reference: Any) -> dict[str, Any]:
        value: Any = self._document
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._wrong(str(reference), "only references within the document (#/…) are followed; none is ever fetched")
        for step in reference[2:].split("/"):
            plain = unquote(step).replace("~1", "/").replace("~0", "~")
            value = value.get(plain) if isinstance(value, dict) else None
        if not isinstance(value, dict):
            raise self._wrong(reference, "there is nothing at this place of the document")
        return value

    def _wrong(self, pointer: str, text: str) -> ConfigError:
        return ConfigError(f"{self._where}: {pointer}: {text}")


def typed(text: str, kinds: frozenset[str]) -> Any:
    """A parameter's text as the type that its schema names; the text itself where it is none of them, which the schema then
    refuses."""
    if kinds & {"integer", "number"} and len(text) <= _MAX_DIGITS and _NUMBER.fullmatch(text):
        return decoded(text.encode())
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    if "null" in kinds and text == "" and "string" not in kinds:
        return None
    return text
