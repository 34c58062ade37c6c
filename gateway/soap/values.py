"""XSD lexical forms (XML Schema part 2) ↔ canonical values of the field types of `core.schema`. Bounded by the body's size."""

import base64
import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.schema import FieldType, Value
from gateway.json_text import decoded, encoded

XSD_TYPES: dict[FieldType, str] = {
    "text": "string",
    "integer": "long",
    "number": "double",
    "decimal": "decimal",
    "boolean": "boolean",
    "date": "date",
    "datetime": "dateTime",
    "json": "string",  # JSON text
    "binary": "base64Binary",
}
_INTEGER = re.compile(r"[+-]?0*[0-9]{1,19}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_MAX_DIGITS = 400
_SPACE = " \t\r\n"
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"})


class Unfit(ValueError):
    """A text with a character that XML 1.0 can't hold."""


def escaped(text: str) -> str:
    """A text for an element or an attribute in double quotes. Raises Unfit."""
    if _UNFIT.search(text):
        raise Unfit("a character that XML can't hold")
    return text.translate(_ESCAPES)


def read(kind: FieldType, text: str) -> Value:
    """The value of an element's text. ValueError, which says what was expected; the text is not in it."""
    if kind == "text":
        return text
    text = text.strip(_SPACE)
    match kind:
        case "json":
            return _json(text)
        case "boolean" if text in _BOOLEANS:
            return _BOOLEANS[text]
        case "integer" if _INTEGER.fullmatch(text) and len(text) <= _MAX_DIGITS and -(2**63) <= int(text) < 2**63:
            return int(text)
        case "number" if _DOUBLE.fullmatch(text) and len(text) <= _MAX_DIGITS and math.isfinite(float(text)):
            return float(text)
        case "decimal" if _DECIMAL.fullmatch(text) and len(text) <= _MAX_DIGITS:
            return format(Decimal(text), "f")
        case "date" if _is_date(text):
            return text
        case "datetime" if _is_datetime(text):
            return text
        case "binary":
            return _binary(text)
    raise ValueError(f"expected {_EXPECTED.get(kind, f'xsd:{XSD_TYPES[kind]}')}")


_EXPECTED = {
    "integer": "xsd:long, a whole number of 64 bits",
    "number": "xsd:double, a finite number",
    "date": "xsd:date without a time zone",
    "datetime": "xsd:dateTime, at most microseconds",
}


def _json(text: str) -> Value:
    try:
        value: Value = decoded(text.encode())
    except ValueError:
        raise ValueError("expected JSON text") from None
    return value


def _binary(text: str) -> str:
    plain = "".join(text.split())
    try:
        base64.b64decode(plain, validate=True)
    except ValueError:
        raise ValueError("expected xsd:base64Binary") from None
    return plain


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_datetime(text: str) -> bool:
    try:
        return bool(_DATETIME.fullmatch(text)) and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def written(kind: FieldType, value: Any) -> str:
    """The text of an element, not escaped. ValueError for a value that is none of this type: a masked number, say."""
    if kind == "json":
        return encoded(value).decode()
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else "" if isinstance(value, bool) else str(value)
    is_number = isinstance(value, int | float | Decimal)
    if (kind in ("integer", "number") and not is_number) or (kind in ("date", "datetime", "binary") and is_number):
        raise ValueError("another type")
    if kind in ("text", "boolean"):
        raise ValueError("another type")
    read(kind, text)
    return text


def plain(value: Value) -> str:
    """A value as it stands in a query or a path of the JSON face."""
    return "true" if value is True else "false" if value is False else str(value)
