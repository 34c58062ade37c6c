"""Between canonical values (core/schema.py) and what a SQL driver binds or gives, both ways and exact."""

import base64
import binascii
import json
import re
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import InvalidInput
from core.schema import FieldType, Value

_OFFSET = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")


def to_driver(value: Value, kind: FieldType, field: str) -> Any:
    """What to bind so that a column of this type takes the canonical value. InvalidInput names the field.

    A date-time is sent as text: drivers lose digits of its seconds or drop its offset unseen; the server understands or refuses it.
    """
    if value is None:
        return None
    try:
        return _converted(value, kind)
    except (ValueError, TypeError, InvalidOperation, binascii.Error) as error:
        raise InvalidInput(f"field {field}: {value!r:.80} is no {kind}") from error


def _converted(value: Value, kind: FieldType) -> Any:
    if kind == "decimal":
        return _finite(Decimal(str(value)))
    if kind == "date":
        return date.fromisoformat(str(value))
    if kind == "datetime":
        moment = datetime.fromisoformat(str(value))
        return iso_text(moment) if moment.tzinfo is None else str(value)
    if kind == "binary":
        return base64.b64decode(str(value), validate=True)
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if kind == "integer" and not (isinstance(value, int) and -(2**63) <= value < 2**63):
        raise ValueError(value)
    return value


def _finite(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError(number)
    return number


def to_compare(value: Value, kind: FieldType, field: str) -> Any:
    """What to bind beside a column in a condition.

    A date-time goes as the text that the source gave, which the server turns into the column's own type: SQL Server would compare
    its old `datetime` (3.33 ms steps) with a datetime2 as two different moments, and rows would be lost at a resume.
    """
    return value if kind == "datetime" else to_driver(value, kind, field)


def has_offset(value: Value) -> bool:
    """Whether the text of a date-time ends with `Z` or `±HH:MM`."""
    return isinstance(value, str) and _OFFSET.search(value) is not None


def json_safe(value: Any) -> Value:
    """A driver's value as part of a cursor: exact, and what `to_compare` turns back."""
    if isinstance(value, datetime):
        return iso_text(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # uuid and the like


def iso_text(moment: datetime) -> str:
    """ISO 8601 with no more digits than the value has: SQL Server's `datetime` refuses more than three."""
    if moment.microsecond == 0:
        return moment.isoformat()
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")
