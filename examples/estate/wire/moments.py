"""Dates and times as SQLite text: one spelling per declared type, so that comparing text compares moments.

A datetime is `YYYY-MM-DD HH:MM:SS` with as many digits of a second as its column declares (or more, when it is finer).
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from examples.estate.wire.declared import ColumnType, TypeKind, parse_declared

Value = int | float | str | bytes | None

_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?Z?")
_TIME: Final = re.compile(r"(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?")


def spell(text: str, type_: ColumnType) -> str:
    """Return a moment in the spelling of a column's type; a text that is no moment comes back unchanged."""
    if type_.kind is TypeKind.TIME:
        time = _TIME.fullmatch(text)
        return text if time is None else _clock(time.group(1), time.group(2), type_.scale)
    moment = _MOMENT.fullmatch(text.strip())
    if moment is None:
        return text
    day, clock, fraction = moment.groups()
    if type_.kind is TypeKind.DATE:
        # A date column compared with a later moment of that day must not be equal to it: SQL Server widens the date.
        return day if clock is None or not f"{clock}{fraction or ''}".strip("0:") else f"{day} {clock}"
    return f"{day} {_clock(clock or '00:00:00', fraction, type_.scale)}"


def _clock(clock: str, fraction: str | None, scale: int) -> str:
    if len(clock) == 5:
        clock += ":00"
    digits = (fraction or "").rstrip("0").ljust(scale, "0")
    return f"{clock}.{digits}" if digits else clock


@lru_cache(maxsize=256)
def type_of(declaration: str) -> ColumnType:
    """Return the type for a declaration that a translator wrote into the SQL."""
    return parse_declared(declaration)


def as_declared(value: Value, declaration: str) -> Value:
    """SQL function: a literal or parameter in the spelling that a column of that type stores."""
    return spell(value, type_of(declaration)) if isinstance(value, str) else value


def cast_declared(value: Value, declaration: str) -> Value:
    """SQL function behind CAST and CONVERT; raise ValueError when the value has no such form."""
    if value is None:
        return None
    type_ = type_of(declaration)
    if type_.kind in (TypeKind.DATE, TypeKind.TIME, TypeKind.DATETIME):
        return _cast_moment(str(value), type_)
    if type_.kind in (TypeKind.INTEGER, TypeKind.BIT):
        number = int(float(value)) if isinstance(value, float) else int(str(value))
        return int(number != 0) if type_.kind is TypeKind.BIT else number
    if type_.kind in (TypeKind.FLOAT, TypeKind.DECIMAL):
        number_ = float(str(value))
        return round(number_, type_.scale) if type_.kind is TypeKind.DECIMAL else number_
    if type_.kind is TypeKind.BYTES:
        return value if isinstance(value, bytes) else str(value).encode()
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text if type_.length is None else text[: type_.length]


def _cast_moment(text: str, type_: ColumnType) -> str:
    moment = _MOMENT.fullmatch(text.strip())
    if type_.kind is not TypeKind.TIME and moment is None:
        raise ValueError(f"{text!r} is no date")
    if moment is not None:
        datetime.fromisoformat(f"{moment.group(1)} {moment.group(2) or '00:00'}")
    if type_.kind is TypeKind.DATE and moment is not None:
        return str(moment.group(1))
    if type_.kind is TypeKind.TIME and moment is not None:
        text = (moment.group(2) or "00:00:00") + (f".{moment.group(3)}" if moment.group(3) else "")
    return spell(text, type_)
