"""YAML 1.2 text to plain values, with the line and column of each part. For text that a person wrote and may have got wrong.

Only what a configuration needs: mappings, lists and scalars of the core schema (YAML 1.2.2 §10.3.2), anchors and aliases within
bounds. Tags and several documents are refused, keys are text. It raises nothing but ConfigError.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from config.interpolation import interpolate
from config.problem import Locator, Path
from config.scalars import plain_scalar
from core.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000  # aliases count each time they are used, so that ten lines of them can't fill the memory
MAX_DEPTH = 40

_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")


@dataclass(slots=True)
class _Node:
    """A parsed node: `content` is text, a list of nodes, or a list of (key node, value node)."""

    kind: type[Event]
    mark: tuple[int, int]
    content: Any
    is_plain: bool = False
    pending_key: "_Node | None" = field(default=None, repr=False)


def read(path: FilePath, variables: Mapping[str, str]) -> tuple[Any, Locator]:
    """The document in a file and where its parts stand. Raises ConfigError for a file that can't be read or is not YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse(data, str(path), variables)


def parse(data: bytes | str, file: str, variables: Mapping[str, str]) -> tuple[Any, Locator]:
    """The document in `data` (UTF-8), None if it is empty; `file` is its name in messages.

    Raises ConfigError with file and line: not YAML, a key given twice, an unknown variable, too large, too deep.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_BYTES} bytes; split it or move data out of it")
    try:
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    root = _Composer(file).compose(text.removeprefix("\ufeff"))
    builder = _Builder(file, variables)
    value = builder.build(root, (), 0) if root else None
    return value, Locator(file, builder.places, frozenset(builder.interpolated))


class _Composer:
    """Parser events to a tree of nodes, with a stack of its own: the depth of the text can't exhaust Python's."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, _Node] = {}
        self._open: list[tuple[_Node, str | None]] = []
        self._root: _Node | None = None
        self._documents = 0
        self._nodes = 0

    def compose(self, text: str) -> _Node | None:
        for event in self._events(text):
            if isinstance(event, DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._error(event, "a second document begins here; one file holds one document")
            elif isinstance(event, AliasEvent):
                self._alias(event)
            elif isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                self._start(event)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                node, anchor = self._open.pop()
                self._add(node, anchor)
        return self._root

    def _events(self, text: str) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise ConfigError(f"{self._file}{place}: not YAML: {error.problem or error.context}") from error
        except (YAMLError, ValueError, OverflowError, LookupError, AttributeError, AssertionError, TypeError) as error:
            # The last five: ruamel's scanner on malformed escapes, directives and tags.
            raise ConfigError(f"{self._file}: not YAML: {' '.join(str(error).split())[:200]}") from error

    def _error(self, event: Event, text: str) -> ConfigError:
        line, column = _mark(event)
        return ConfigError(f"{self._file}:{line}:{column}: {text}")

    def _alias(self, event: AliasEvent) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise self._error(event, f"alias *{event.anchor} has no anchor &{event.anchor} complete before it")
        self._add(_Node(node.kind, _mark(event), node.content, node.is_plain), None)

    def _scalar(self, event: ScalarEvent) -> None:
        is_text = self._is_text(event)
        is_plain = event.style is None and not is_text
        self._add(_Node(ScalarEvent, _mark(event), event.value, is_plain), event.anchor)

    def _start(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        if self._is_text(event) or len(self._open) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels" if event.tag is None else "tags are not used here")
        self._open.append((_Node(type(event), _mark(event), []), event.anchor))

    def _is_text(self, event: Any) -> bool:
        if event.tag is not None and str(event.tag) not in _TEXT_TAGS:
            raise self._error(event, f"tag {event.tag} is not used here; remove it")
        return event.tag is not None

    def _add(self, node: _Node, anchor: str | None) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConfigError(f"{self._file}:{node.mark[0]}:{node.mark[1]}: more than {MAX_NODES} values in one file")
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        parent, _ = self._open[-1]
        if parent.kind is not MappingStartEvent:
            parent.content.append(node)
        elif parent.pending_key is None:
            parent.pending_key = node
        else:
            parent.content.append((parent.pending_key, node))
            parent.pending_key = None


def _mark(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


class _Builder:
    """Nodes to plain values; notes the place of every path and replaces `${NAME}`."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables
        self._count = 0
        self.places: dict[Path, tuple[int, int]] = {}
        self.interpolated: set[Path] = set()

    def build(self, node: _Node, path: Path, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise self._error(node, "its aliases unfold to too much; write fewer of them")
        self.places.setdefault(path, node.mark)
        if node.kind is MappingStartEvent:
            return self._mapping(node, path, depth)
        if node.kind is SequenceStartEvent:
            return [self.build(item, (*path, str(index)), depth + 1) for index, item in enumerate(node.content)]
        return self._scalar(node, path)

    def _mapping(self, node: _Node, path: Path, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.content:
            if key.kind is not ScalarEvent:
                raise self._error(key, "a key must be text")
            name = str(key.content)
            if name in result:
                line = self.places[(*path, name)][0]
                raise self._error(key, f"key '{name}' is given twice, first on line {line}; remove one")
            if name == "<<":
                raise self._error(key, "merge keys (<<) are not part of YAML 1.2; write the fields out")
            self.places[(*path, name)] = key.mark
            result[name] = self.build(value, (*path, name), depth + 1)
        return result

    def _scalar(self, node: _Node, path: Path) -> Any:
        value = plain_scalar(node.content) if node.is_plain else node.content
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            value, found = interpolate(value, self._variables)
        except ValueError as error:
            raise self._error(node, str(error)) from error
        if found:
            self.interpolated.add(path)
        return value

    def _error(self, node: _Node, text: str) -> ConfigError:
        return ConfigError(f"{self._file}:{node.mark[0]}:{node.mark[1]}: {text}")
