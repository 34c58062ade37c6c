"""Structured fields (RFC 9651, which took over from RFC 8941): as much of them as signatures and digests need, read strictly.

Refused although the RFC allows it: a key that comes twice (the last would win, unseen) and types that nothing here uses (decimals,
dates, display strings). Every failure is a ValueError that says where.
"""

import binascii
import re
from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple, TypeAlias

MAX_CHARACTERS = 8192
MAX_MEMBERS = 8
MAX_ITEMS = 32
MAX_PARAMETERS = 16
_KNOWN_LISTS = 512  # of at most _KNOWN_CHARACTERS each: clients send the same few lists all the time
_KNOWN_CHARACTERS = 1024

_VALUE_PATTERN = (
    r'"((?:[ !#-\[\]-~]|\\["\\])*)"'  # 1: string
    r"|(-?[0-9]{1,15})(?![0-9.])"  # 2: integer
    r"|:([A-Za-z0-9+/=]*):"  # 3: bytes
    r"|\?([01])"  # 4: boolean
    r"|([A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"  # 5: token
)
_VALUE = re.compile(_VALUE_PATTERN)
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_PARAMETER = re.compile(r"; *([a-z*][a-z0-9_.*-]*)(?:=(?:" + _VALUE_PATTERN + "))?")
# Parameters as nearly every signature has them, which are canonical as they stand: plain strings and positive integers, no blanks.
_PLAIN = re.compile(r'(?:;[a-z*][a-z0-9_.*-]*=(?:"[ !#-\[\]-~]*"|[1-9][0-9]{0,14}))*(?=,|\Z)')
_PLAIN_PARAMETER = re.compile(r';([^=]+)=(?:"([^"]*)"|([0-9]+))')
_STRING, _INTEGER, _BYTES, _BOOLEAN = 1, 2, 3, 4


class Token(str):
    """A token, which is written without quotes."""

    __slots__ = ()


Bare: TypeAlias = str | int | bool | bytes


class Item(NamedTuple):
    value: Bare
    parameters: dict[str, Bare]


class InnerList(NamedTuple):
    """`text` is the list in its one canonical form (§4.1.1.1), parentheses included; `parameters_text` what follows it there."""

    items: tuple[Item, ...]
    text: str
    parameters: dict[str, Bare]
    parameters_text: str


def dictionary(text: str) -> dict[str, Item | InnerList]:
    """The members of a dictionary (§4.2.2) in order."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS} characters")
    found: dict[str, Item | InnerList] = {}
    at = 0
    while True:
        key = _KEY.match(text, at)
        if key is None:
            raise _unexpected(text, at)
        if key[0] in found:
            raise ValueError(f"'{key[0]}' is given twice")
        if len(found) == MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} members")
        found[key[0]], at = _member(text, key.end())
        at = _after_blanks(text, at)
        if at == len(text):
            return found
        if text[at] != ",":
            raise _unexpected(text, at)
        at = _after_blanks(text, at + 1)


def byte_sequence(text: str) -> bytes:
    """The value of a byte sequence (§4.2.7), from what stands between its colons."""
    try:
        value = binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise ValueError(f"a byte sequence is not base64: {error}") from error
    if binascii.b2a_base64(value, newline=False).decode() != text:  # bits behind the last byte: two texts for one value
        raise ValueError("a byte sequence is not in canonical base64")
    return value


def inner_list_items(text: str) -> tuple[Item, ...]:
    """The items of a text that is one inner list without parameters."""
    items, end = _items(text, 0)
    if end != len(text):
        raise _unexpected(text, end)
    return items


def _member(text: str, at: int) -> tuple[Item | InnerList, int]:
    value: Bare = True
    if text.startswith("=", at):
        at += 1
        if text.startswith("(", at):
            return _inner_list(text, at)
        value, at = _bare(text, at)
    parameters, at = _parameters(text, at)
    return Item(value, parameters), at


def _inner_list(text: str, at: int) -> tuple[InnerList, int]:
    end = text.find(")", at) + 1
    known = _known_list(text[at:end]) if 0 < end - at <= _KNOWN_CHARACTERS else None
    if known is None:  # long, malformed, or with a `)` inside a string
        items, end = _items(text, at)
        known = items, _items_text(items)
    plain = _PLAIN.match(text, end)
    if plain is not None:
        return InnerList(*known, _plain_parameters(plain[0]), plain[0]), plain.end()
    parameters, after = _parameters(text, end)
    return InnerList(*known, parameters, _parameters_text(parameters)), after


@lru_cache(maxsize=_KNOWN_LISTS)
def _known_list(text: str) -> tuple[tuple[Item, ...], str] | None:
    """Items and canonical text. A text that begins with a whole list reads the same whatever follows, so this is safe to keep."""
    try:
        items = inner_list_items(text)
    except ValueError:
        return None
    return items, _items_text(items)


def _items(text: str, at: int) -> tuple[tuple[Item, ...], int]:
    if not text.startswith("(", at):
        raise _unexpected(text, at)
    found: list[Item] = []
    at = _after_spaces(text, at + 1)
    while not text.startswith(")", at):
        if len(found) == MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} items in one list")
        value, at = _bare(text, at)
        parameters, at = _parameters(text, at)
        found.append(Item(value, parameters))
        if not text.startswith((" ", ")"), at):
            raise _unexpected(text, at)
        at = _after_spaces(text, at)
    return tuple(found), at + 1


def _plain_parameters(text: str) -> dict[str, Bare]:
    pairs = _PLAIN_PARAMETER.findall(text)
    found: dict[str, Bare] = {key: int(number) if number else string for key, string, number in pairs}
    if len(found) != len(pairs) or len(pairs) > MAX_PARAMETERS:
        raise ValueError(f"a parameter is given twice, or there are more than {MAX_PARAMETERS}")
    return found


def _parameters(text: str, at: int) -> tuple[dict[str, Bare], int]:
    found: dict[str, Bare] = {}
    while (match := _PARAMETER.match(text, at)) is not None:
        key = match[1]
        if key in found:
            raise ValueError(f"parameter '{key}' is given twice")
        if len(found) == MAX_PARAMETERS:
            raise ValueError(f"more than {MAX_PARAMETERS} parameters")
        kind = match.lastindex or 1
        found[key] = True if kind == 1 else _read(kind - 1, match[kind])
        at = match.end()
    return found, at


def _bare(text: str, at: int) -> tuple[Bare, int]:
    match = _VALUE.match(text, at)
    if match is None or match.lastindex is None:
        raise _unexpected(text, at)
    return _read(match.lastindex, match[match.lastindex]), match.end()


def _read(kind: int, text: str) -> Bare:
    if kind == _STRING:
        return text if "\\" not in text else re.sub(r"\\(.)", r"\1", text)
    if kind == _INTEGER:
        return int(text)
    if kind == _BYTES:
        return byte_sequence(text)
    return text == "1" if kind == _BOOLEAN else Token(text)


def _after_spaces(text: str, at: int) -> int:
    while text.startswith(" ", at):
        at += 1
    return at


def _after_blanks(text: str, at: int) -> int:
    while text.startswith((" ", "\t"), at):
        at += 1
    return at


def _unexpected(text: str, at: int) -> ValueError:
    return ValueError(f"unexpected {text[at]!r} at character {at + 1}" if at < len(text) else "it ends too early")


def _items_text(items: tuple[Item, ...]) -> str:
    return "(" + " ".join(_bare_text(item.value) + _parameters_text(item.parameters) for item in items) + ")"


def _parameters_text(parameters: dict[str, Bare]) -> str:
    return "".join([f";{key}" if value is True else f";{key}={_bare_text(value)}" for key, value in parameters.items()])


def _bare_text(value: Bare) -> str:
    if isinstance(value, str):
        if isinstance(value, Token):
            return str(value)
        return '"' + (value.replace("\\", "\\\\").replace('"', '\\"') if "\\" in value or '"' in value else value) + '"'
    if isinstance(value, bytes):
        return f":{b64encode(value).decode()}:"
    if isinstance(value, bool):
        return "?1" if value else "?0"
    return str(value)
