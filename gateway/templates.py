"""Texts with variables, compiled when a snapshot is loaded: header values, paths, query values and JSON bodies.

Each place encodes what it is given: no variable can bring in a header line, a path segment, a query parameter or a piece of JSON.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from config.policies import CONTROLS
from core.errors import ConfigError, InvalidInput
from gateway.json_text import encoded
from gateway.stage import Request

Text = Callable[[Request], str]
"""A compiled text: request → what it says for it."""

Json = Callable[[Request, Any], Any]
"""A compiled JSON template: request and the body's value → a value."""

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_VARIABLE = re.compile(r"(?:(path|query|header)\.([^{}\s]+)|(app|address|request_id)|(body)(?:\.([^{}\s]+))?)")
_TAIL = "..."


def header_value(text: str, where: str) -> Text:
    """A header field's value: one line, whatever its variables hold. Raises ConfigError that begins with `where`."""
    constant = _constant(text, where)
    if constant is not None:
        if constant.translate(CONTROLS) != constant:
            raise ConfigError(f"{where}: a header value holds no line break or other control character")
        return lambda request: constant
    parts = _texts(text, where)
    return lambda request: "".join([part(request) for part in parts]).translate(CONTROLS).strip()


def query_value(text: str, where: str) -> Text:
    """A query parameter's value, percent-encoded (RFC 3986 §3.4)."""
    constant = _constant(text, where)
    if constant is not None:
        packed = quote(constant, safe="", errors="replace")
        return lambda request: packed
    parts = _texts(text, where)
    return lambda request: quote("".join([part(request) for part in parts]), safe="", errors="replace")


def path(text: str, where: str) -> Text:
    """A path, its segments filled. What is filled raises InvalidInput where a segment would be empty or a dot segment, or hold a
    slash; only `{path.name...}` may bring several segments, or none."""
    segments = [_segment(each, where) for each in text.split("/")[1:]]
    return lambda request: "".join([segment(request) for segment in segments])


def json_body(template: Any, where: str) -> Json:
    """A JSON template. Numbers, lists and objects come as they are where a text is one variable; a missing one is null."""
    if isinstance(template, str):
        return _json_text(template, where)
    if isinstance(template, list | tuple):
        items = [json_body(item, f"{where}[{index}]") for index, item in enumerate(template)]
        return lambda request, body: [item(request, body) for item in items]
    if isinstance(template, dict):
        fields = [(str(name), json_body(item, f"{where}.{name}")) for name, item in template.items()]
        return lambda request, body: {name: item(request, body) for name, item in fields}
    return lambda request, body: template


def _pieces(text: str, where: str) -> list[tuple[str, bool]]:
    """The literal pieces and the variables (True) of a text, in order."""
    found: list[tuple[str, bool]] = []
    for match in _PIECES.finditer(text):
        piece = match.group()
        if piece in ("{", "}"):
            raise ConfigError(f"{where}: a single {piece} in {text!r}; write {{{{ or }}}} for a brace itself")
        if match.group(1) is not None:
            found.append((match.group(1), True))
        else:
            literal = {"{{": "{", "}}": "}"}.get(piece, piece)
            if found and not found[-1][1]:
                literal = found.pop()[0] + literal
            found.append((literal, False))
    return found


def _constant(text: str, where: str) -> str | None:
    """What the text says where it holds no variable."""
    pieces = _pieces(text, where)
    if any(is_variable for _, is_variable in pieces):
        return None
    return "".join(piece for piece, _ in pieces)


def _texts(text: str, where: str) -> list[Text]:
    return [_variable(piece, where) if is_variable else constant_text(piece) for piece, is_variable in _pieces(text, where)]


def constant_text(text: str) -> Text:
    """What it says, always."""
    return lambda request: text


def _variable(name: str, where: str) -> Text:
    """The reader of a variable that is a text."""
    match = _VARIABLE.fullmatch(name)
    if match is None or match.group(4):
        known = "path.<name>, query.<name>, header.<name>, app, address, request_id"
        extra = "; {body…} is for JSON bodies" if match else ""
        raise ConfigError(f"{where}: unknown variable {{{name}}}; there are {known}{extra}")
    kind, key, single = match.group(1), match.group(2), match.group(3)
    if single is not None:
        return _SINGLE[single]
    if kind == "path":
        return lambda request: request.parameters.get(key, "")
    if kind == "query":
        return lambda request: next((value for each, value in request.query if each == key), "")
    lower = key.lower()
    return lambda request: request.headers.get(lower, "")


def _app(request: Request) -> str:
    return "" if request.identity is None else str(request.identity.app)


_SINGLE: dict[str, Text] = {
    "app": _app,
    "address": lambda request: request.remote,
    "request_id": lambda request: request.request_id,
}


def _segment(text: str, where: str) -> Text:
    """One segment of a path template, with its slash in front."""
    pieces = _pieces(text, where)
    if not any(is_variable for _, is_variable in pieces):
        literal = "".join(piece for piece, _ in pieces)
        if literal in (".", "..") or "\\" in literal:
            raise ConfigError(f"{where}: a path has no segment {literal!r}")
        constant = "/" + quote(literal, safe=":@!$&'()*+,;=~%")
        return lambda request: constant
    if len(pieces) == 1 and pieces[0][0].endswith(_TAIL):
        return _tail(pieces[0][0].removesuffix(_TAIL), where)
    parts = _texts(text, where)
    return lambda request: "/" + _safe_segment("".join([part(request) for part in parts]), text)


def _tail(name: str, where: str) -> Text:
    if not name.startswith("path."):
        raise ConfigError(f"{where}: only a path variable can be the rest of a path, not {{{name}{_TAIL}}}")
    rest, shown = _variable(name, where), f"{{{name}{_TAIL}}}"

    def filled(request: Request) -> str:
        value = rest(request).strip("/")
        return "".join(["/" + _safe_segment(each, shown) for each in value.split("/")]) if value else ""

    return filled


def _safe_segment(value: str, shown: str) -> str:
    if value in ("", ".", "..") or "/" in value or "\\" in value:
        raise InvalidInput(f"the path sent upstream can't be made: {shown} would be {value[:40]!r}, which is not one segment")
    return quote(value, safe="", errors="replace")


def _json_text(text: str, where: str) -> Json:
    pieces = _pieces(text, where)
    readers = [_json_variable(piece, where) if is_variable else _json_literal(piece) for piece, is_variable in pieces]
    if len(readers) == 1:
        return readers[0]
    return lambda request, body: "".join([_as_text(reader(request, body)) for reader in readers])


def _json_literal(text: str) -> Json:
    return lambda request, body: text


def _json_variable(name: str, where: str) -> Json:
    match = _VARIABLE.fullmatch(name)
    if match is None or not match.group(4):
        reader = _variable(name, where)
        return lambda request, body: reader(request)
    steps = tuple(match.group(5).split(".")) if match.group(5) else ()

    def found(request: Request, body: Any) -> Any:
        for step in steps:
            if isinstance(body, dict):
                body = body.get(step)
            elif isinstance(body, list) and step.isascii() and step.isdigit() and len(step) < 7 and int(step) < len(body):
                body = body[int(step)]
            else:
                return None
        return body

    return found


def _as_text(value: Any) -> str:
    """A value inside a longer text: null is empty, anything but a text as it stands in JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else encoded(value).decode()
