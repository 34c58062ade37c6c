"""XML ↔ JSON, for upstreams and clients that speak the other one.

An element is a text where it has neither attributes nor children, else an object: attributes as `@name`, children by their names
(a list where a name repeats), text beside them as `#text`, blank pieces dropped. Prefixes are part of names and xmlns declarations
are attributes, or both are stripped. The root's name is not shown. To XML: null is an empty element, other values as JSON has them.
XML is untrusted: no DTD, so no entity (CWE-611, CWE-776); depth and number of elements are bounded here, bytes by the caller.
"""

import re
from typing import Any
from xml.parsers import expat

from core.errors import InvalidInput
from gateway.json_text import encoded

MAX_DEPTH = 64
MAX_NODES = 50_000

_NAME = re.compile(r"[A-Za-z_\u4e00-\u9fa5][A-Za-z0-9_.\u4e00-\u9fa5-]*(:[A-Za-z_\u4e00-\u9fa5][A-Za-z0-9_.\u4e00-\u9fa5-]*)?")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold (§2.2)."""

_GB = re.compile(rb"""\s*<\?xml[^>]{0,80}encoding\s*=\s*["'](gb2312|gbk|gb18030)["']""", re.IGNORECASE)
"""Chinese encodings, which expat does not know; gb18030 reads all three."""

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


def from_xml(data: bytes, *, lists: frozenset[str] = frozenset(), strips: bool = False) -> Any:
    """The content of the root element. `lists` names elements that are lists even where there is one; `strips` drops prefixes and
    xmlns declarations. Raises ValueError with line and column for what is no XML or goes over a bound."""
    reader = _Reader(lists, strips)
    try:
        reader.parse(data)
    except expat.ExpatError as error:
        text = expat.errors.messages.get(error.code, "malformed")
        raise ValueError(f"line {error.lineno}, column {error.offset + 1}: {text}") from None
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"not in its encoding: {error}") from None
    return reader.root


class _Reader:
    """Builds values while expat reads. One for each document."""

    def __init__(self, lists: frozenset[str], strips: bool) -> None:
        self._lists = lists
        self._strips = strips
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []  # name, attributes and children, text
        self._nodes = 0
        self.root: Any = None

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(data.decode("gb18030") if _GB.match(data) else data, True)

    def _doctype(self, *_: object) -> None:
        raise ValueError("a document type declaration (DOCTYPE) is not taken")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._nodes += 1 + len(attributes)
        if self._nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} elements and attributes")
        if len(self._open) >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} elements")
        if self._strips:
            name = name.rpartition(":")[2]
            attributes = {each.rpartition(":")[2]: value for each, value in attributes.items() if each[:5] != "xmlns"}
        self._open.append((name, {f"@{each}": value for each, value in attributes.items()}, []))

    def _text(self, text: str) -> None:
        self._open[-1][2].append(text)

    def _end(self, _: str) -> None:
        name, fields, texts = self._open.pop()
        value: Any = "".join(texts)
        if fields:
            if any(each[0] != "@" for each in fields):
                value = "".join(text for text in texts if text.strip())
            if value.strip():
                fields["#text"] = value
            value = fields
        if self._open:
            self._put(self._open[-1][1], name, value)
        else:
            self.root = value

    def _put(self, parent: dict[str, Any], name: str, value: Any) -> None:
        known = parent.get(name)
        if known is None:  # no value is None
            parent[name] = [value] if name in self._lists else value
        elif isinstance(known, list):
            known.append(value)
        else:
            parent[name] = [known, value]


def to_xml(value: Any, root: str) -> bytes:
    """A document in UTF-8 whose root element holds `value`. Raises InvalidInput (body_invalid) that names the path, for what XML
    can't hold: odd names, control characters, lists of lists, too much."""
    writer = _Writer()
    writer.element(root, value, root, 1)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(writer.out)).encode()


class _Writer:
    def __init__(self) -> None:
        self.out: list[str] = []
        self._nodes = 0

    def element(self, name: str, value: Any, path: str, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _refused(path, f"more than {MAX_NODES} elements, or nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            self._object(name, value, path, depth)
        elif value is None or value == "":
            self.out.append(f"<{name}/>")
        else:
            self.out.append(f"<{name}>{_scalar(value, path).translate(_TEXT)}</{name}>")

    def _object(self, name: str, fields: dict[str, Any], path: str, depth: int) -> None:
        self.out.append(f"<{name}")
        for each, value in fields.items():
            if each[:1] == "@":
                self._nodes += 1
                self.out.append(f' {_name(each[1:], path)}="{_scalar(value, f"{path}.{each}").translate(_ATTRIBUTE)}"')
        self.out.append(">")
        for each, value in fields.items():
            if each == "#text":
                self.out.append(_scalar(value, f"{path}.#text").translate(_TEXT))
            elif each[:1] != "@":
                self._children(_name(each, path), value, f"{path}.{each}", depth + 1)
        self.out.append(f"</{name}>")

    def _children(self, name: str, value: Any, path: str, depth: int) -> None:
        if not isinstance(value, list):
            self.element(name, value, path, depth)
            return
        for index, item in enumerate(value):
            if isinstance(item, list):
                raise _refused(f"{path}[{index}]", "a list in a list has no form in XML")
            self.element(name, item, f"{path}[{index}]", depth)


def _name(name: str, path: str) -> str:
    if not _NAME.fullmatch(name):
        raise _refused(path, f"{name[:40]!r} can't be a name in XML")
    return name


def _scalar(value: Any, path: str) -> str:
    if isinstance(value, dict | list):
        raise _refused(path, "an attribute, or text beside elements, is a plain value")
    text = value if isinstance(value, str) else "" if value is None else encoded(value).decode()
    if _FORBIDDEN.search(text):
        raise _refused(path, "a control character that XML can't hold")
    return text


def _refused(path: str, text: str) -> InvalidInput:
    return InvalidInput(f"body: {path}: {text}", code="body_invalid")
