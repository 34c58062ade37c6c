"""Whole columns at once: the conversions of `exchange/values` where every value already has the type that a driver gives.

Each returns None where it does not apply, and the values are then converted one by one. Measured on 12 mixed columns of SQL Server:
1.6 µs a row against 24 µs one by one.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from core.schema import Field, FieldType, Value
from exchange.mapping import steps

ColumnConverter = Callable[[Sequence[Any]], Sequence[Value] | None]
_NONE = type(None)
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
_ODD_DECIMAL = ("E", "N", "I")  # an exponent, NaN, Infinity: not plain notation
_PLAIN_DECIMALS = re.compile(r"-?(0|[1-9]\d{0,59})(\.\d{1,60})?(,-?(0|[1-9]\d{0,59})(\.\d{1,60})?)*", re.ASCII)
_PLAIN_INTEGERS = re.compile(r"[+-]?\d{1,18}(,[+-]?\d{1,18})*", re.ASCII)
_NUMBER = r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?"
_PLAIN_NUMBERS = re.compile(f"{_NUMBER}(?:,{_NUMBER})*", re.ASCII)
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True, "否": False, "是": True}
_MOMENT = r"\d{4}-\d\d-\d\d[ T](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_PLAIN_MOMENTS = re.compile(f"{_MOMENT}(?:,{_MOMENT})*", re.ASCII)


def _types(values: Sequence[Any]) -> set[type]:
    return set(map(type, values))


def _texts(values: Sequence[Any]) -> Sequence[Value] | None:
    return values if _types(values) <= {str, _NONE} else None


def _integers(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {str}:
        return list(map(int, values)) if _PLAIN_INTEGERS.fullmatch(",".join(values)) else None
    if types != {int} or min(values) < _MIN_INTEGER or max(values) > _MAX_INTEGER:
        return None
    return values


def _numbers(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {str} and _PLAIN_NUMBERS.fullmatch(",".join(values)):
        values = list(map(float, values))
    elif types != {float}:
        return None
    return values if all(map(isfinite, values)) else None


def _booleans(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {int} and set(values) <= {0, 1}:
        return list(map(bool, values))
    if types == {str} and set(values) <= _BOOLEANS.keys():
        return list(map(_BOOLEANS.__getitem__, values))
    return values if types <= {bool, _NONE} else None


def _decimals(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {str}:
        return values if _PLAIN_DECIMALS.fullmatch(",".join(values)) else None
    if types != {Decimal}:
        return None
    texts = list(map(str, values))
    joined = "".join(texts)
    return None if any(mark in joined for mark in _ODD_DECIMAL) else texts


def _days(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {date}:
        return list(map(date.isoformat, values))
    return _texts_of(values, date) if types == {str} else None


def _texts_of(values: Sequence[str], kind: type[date]) -> Sequence[Value] | None:
    """Parsed and written again: only what the calendar has passes. Zones are left to the conversion of single values.

    Days repeat in a batch, and moments often: each different text is parsed once.
    """
    try:
        known = {text: kind.isoformat(kind.fromisoformat(text)) for text in set(values)}
    except ValueError:
        return None
    return None if "+" in "".join(known.values()) else list(map(known.__getitem__, values))


def _moments(values: Sequence[Any]) -> Sequence[Value] | None:
    types = _types(values)
    if types == {datetime}:
        return list(map(datetime.isoformat, values))
    if types == {datetime, _NONE}:
        return [None if value is None else value.isoformat() for value in values]
    if types != {str}:
        return None
    return _plain_moments(values) or _texts_of(values, datetime)


def _plain_moments(values: Sequence[str]) -> Sequence[Value] | None:
    """As a database writes them: looked at all at once, and only the days, which repeat, are asked of the calendar."""
    if not _PLAIN_MOMENTS.fullmatch(",".join(values)):
        return None
    try:
        for day in {text[:10] for text in values}:
            date.fromisoformat(day)
    except ValueError:
        return None
    return [
        f"{text[:10]}T{text[11:19]}" if not (part := text[20:].rstrip("0")) else f"{text[:10]}T{text[11:19]}.{part:0<6}"
        for text in values
    ]


_BY_TYPE: dict[FieldType, ColumnConverter] = {
    "text": _texts,
    "integer": _integers,
    "number": _numbers,
    "boolean": _booleans,
    "decimal": _decimals,
    "date": _days,
    "datetime": _moments,
}


def column_converter(field: Field, one: Callable[[Any], Value]) -> Callable[[Sequence[Any]], Sequence[Value]]:
    """The conversion of a column; `one` converts a single value. Raises the first ValueError of any value."""
    at_once = None if steps(field) else _BY_TYPE.get(field.type)
    limit = field.max_length

    def convert(values: Sequence[Any]) -> Sequence[Value]:
        found = None if at_once is None else at_once(values)
        if found is None or _breaks_a_rule(found):
            return list(map(one, values))
        return found

    def _breaks_a_rule(found: Sequence[Value]) -> bool:
        if field.required and (None in found or "" in found):
            return True
        return limit is not None and max(map(len, filter(None, found)), default=0) > limit  # type: ignore[arg-type]

    return convert
