"""Values as sources give them → canonical values (core.schema.FieldType). Pure; a value that can't be one is a ValueError.

The message of the ValueError becomes the reason in quarantine, so it says what was expected and shows what came.
"""

import base64
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from core.schema import Field, FieldType, Value

Converter = Callable[[Any], Value]
_MAX_ADJUSTED = 60
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
_NULL_DATE = "0000-00-00"  # with or without a time: MySQL's way to write that there is none
_PACKER = msgspec.msgpack.Encoder()
_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)  # int() alone would take 1_000 and full-width digits
_TRUE = frozenset({"1", "true", "t", "yes", "y", "是"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "否"})


def _wrong(expected: str, value: Any) -> ValueError:
    shown = repr(value)
    return ValueError(f"expected {expected}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def text(value: Any) -> Value:
    """str as it is; numbers, dates and UUIDs by their usual text; bytes are refused (their encoding is not known)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | dict | list):
        raise _wrong("text", value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def integer(value: Any) -> Value:
    if type(value) is int:
        result = value
    elif _is_whole(value):
        result = int(value)
    else:
        raise _wrong("an integer", value)
    if not _MIN_INTEGER <= result <= _MAX_INTEGER:
        raise _wrong("an integer of 64 bits", value)
    return result


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return _INTEGER.fullmatch(value.strip()) is not None
    if isinstance(value, Decimal):  # its `//` raises no ValueError for a signalling NaN, nor for more digits than the context has
        return value.is_finite() and value.adjusted() <= _MAX_ADJUSTED and value == value.to_integral_value()
    return isinstance(value, int | float) and value == value // 1


def number(value: Any) -> Value:
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise _wrong("a number", value) from None
    if result != result or result in (float("inf"), float("-inf")):
        raise _wrong("a finite number", value)
    return result


def decimal(value: Any) -> Value:
    """Exact, in plain notation; a float keeps its shortest text."""
    if isinstance(value, bool):
        raise _wrong("a decimal number", value)
    try:
        result = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        raise _wrong("a decimal number", value) from None
    if not result.is_finite() or abs(result.adjusted()) > _MAX_ADJUSTED:
        raise _wrong("a decimal number of reasonable size", value)
    return format(result, "f")


def boolean(value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, bytes) and len(value) == 1:  # MySQL's bit(1)
        return value != b"\0"
    folded = str(value).strip().lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise _wrong("a boolean", value)


def _date_text(value: str) -> Value:
    if value.startswith(_NULL_DATE):
        return None
    try:
        return date.fromisoformat(value[:10] if value[10:] in ("", " 00:00:00", "T00:00:00") else value).isoformat()
    except ValueError:
        raise _wrong("a date YYYY-MM-DD", value) from None


def day(value: Any) -> Value:
    if isinstance(value, str):
        return _date_text(value.strip())
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise _wrong("a date YYYY-MM-DD", value)


def moment(value: Any) -> Value:
    """A naive time stays naive: which zone a source means is its owner's knowledge, not ours."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00"
    if not isinstance(value, str):
        raise _wrong("a date and time", value)
    stripped = value.strip()
    if stripped.startswith(_NULL_DATE):
        return None
    try:
        return datetime.fromisoformat(stripped).isoformat().replace("+00:00", "Z")
    except ValueError:
        raise _wrong("a date and time YYYY-MM-DD HH:MM:SS", value) from None


def anything(value: Any) -> Value:
    """JSON: text is parsed, everything else must be representable."""
    try:
        result: Value = msgspec.json.decode(value) if isinstance(value, str | bytes) else msgspec.to_builtins(value)
        _PACKER.encode(result)  # the bus holds integers of 64 bits
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise _wrong("JSON", value) from None
    return result


def binary(value: Any) -> Value:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong("bytes", value)
    return base64.b64encode(value).decode()


_CONVERTERS: dict[FieldType, Converter] = {
    "text": text,
    "integer": integer,
    "number": number,
    "decimal": decimal,
    "boolean": boolean,
    "date": day,
    "datetime": moment,
    "json": anything,
    "binary": binary,
}


def converter(field: Field, steps: Sequence[Callable[[Any], Any]] = ()) -> Converter:
    """The conversion of one field, None and blank text included: blank is null except for text. `steps` come before it."""
    convert = _CONVERTERS[field.type]
    is_text = field.type == "text"
    is_required, limit = field.required, field.max_length

    def checked(value: Any) -> Value:
        for step in steps:
            value = step(value)
        is_blank = value is None or (not is_text and isinstance(value, str) and not value.strip())
        result = None if is_blank else convert(value)
        if is_required and (result is None or result == ""):
            raise ValueError("a value is required")
        if limit is not None and isinstance(result, str) and len(result) > limit:
            raise ValueError(f"longer than {limit} characters ({len(result)})")
        return result

    return checked
