"""Decide the type that each column of a result set has on the wire, before its first row goes out.

A declared type holds when every value fits it; else the values decide. SQLite checks the rows that were not fetched
yet, so that a wrong value in row 900,000 cannot surprise an encoder half way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from examples.estate.wire.declared import BIGINT, DOUBLE, UNKNOWN, ColumnType, TypeKind
from examples.estate.wire.moments import Value

Row = tuple[Value, ...]
MAX_BOUNDED_TEXT = 4000
MAX_BOUNDED_BYTES = 8000

_STORED = {TypeKind.INTEGER: 1, TypeKind.BIT: 1, TypeKind.FLOAT: 2, TypeKind.DECIMAL: 2, TypeKind.BYTES: 4}
_NUMBERS = frozenset({TypeKind.INTEGER, TypeKind.BIT, TypeKind.DECIMAL})
_RANK_OF = {int: 1, float: 2, str: 3, bytes: 4}
_STRINGS = frozenset({TypeKind.TEXT, TypeKind.FIXED_TEXT, TypeKind.BYTES})
_ANY_LENGTH = 2**31


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result set as the client sees it; its type is never UNKNOWN."""

    name: str
    type: ColumnType


def resolve(
    names: Sequence[str],
    declared: Sequence[ColumnType],
    first: Sequence[Row],
    sql: str,
    profile: Callable[[str], Row] | None,
) -> tuple[ResultColumn, ...]:
    """Return the columns with types that all values fit.

    `declared` may be empty or of another length (then values decide); `profile` runs one SELECT over all rows and is
    given when `first` are not all of them.
    """
    types = list(declared) if len(declared) == len(names) else [UNKNOWN] * len(names)
    if profile is not None:
        found = profile(_profile_sql(sql, types))
        states = [_profiled(type_, found[2 * i], found[2 * i + 1]) for i, type_ in enumerate(types)]
    else:
        states = [_state([row[i] for row in first], type_) for i, type_ in enumerate(types)]
    return tuple(
        ResultColumn(name, _settle(type_, misfit, length))
        for name, type_, (misfit, length) in zip(names, types, states, strict=True)
    )


def _settle(type_: ColumnType, misfit: int, length: int) -> ColumnType:
    """`misfit`: 0 when the declaration holds, else the highest storage rank among the values that do not fit."""
    if type_.kind is TypeKind.UNKNOWN and misfit == 0:
        return ColumnType(TypeKind.INTEGER, "int", 4)  # nothing but NULL: SQL Server calls it int
    if misfit == 0:
        return type_
    rank = max(misfit, _STORED.get(type_.kind, 3) if type_.kind is not TypeKind.UNKNOWN else 0)
    if rank <= 2:
        return BIGINT if rank == 1 else DOUBLE
    if rank == 3:
        # Twice: a character outside the basic plane takes two units of UTF-16.
        return ColumnType(TypeKind.TEXT, "nvarchar", MAX_BOUNDED_TEXT if length * 2 <= MAX_BOUNDED_TEXT else None)
    return ColumnType(TypeKind.BYTES, "varbinary", MAX_BOUNDED_BYTES if length * 4 <= MAX_BOUNDED_BYTES else None)


def _state(values: Sequence[Value], type_: ColumnType) -> tuple[int, int]:
    misfit = length = 0
    for value in values:
        if value is None or fits(value, type_):
            continue
        misfit = max(misfit, _RANK_OF[type(value)])
    if misfit:
        length = max((len(value) for value in values if isinstance(value, str | bytes)), default=0)
    return misfit, length


def fits(value: Value, type_: ColumnType) -> bool:
    """Whether a value other than NULL has a place in the type."""
    kind = type_.kind
    if kind in (TypeKind.TEXT, TypeKind.FIXED_TEXT):
        return isinstance(value, str) and (type_.length is None or len(value) <= type_.length)
    if kind is TypeKind.BYTES:
        return isinstance(value, bytes) and (type_.length is None or len(value) <= type_.length)
    if isinstance(value, str):
        return kind in _PARSERS and _parses(value, type_)
    if isinstance(value, int):
        low, high = _bounds(type_)
        return kind is TypeKind.FLOAT or (kind in _NUMBERS and low <= value <= high)
    return isinstance(value, float) and (
        kind is TypeKind.FLOAT or (kind is TypeKind.DECIMAL and abs(value) < 10 ** (type_.precision - type_.scale))
    )


def _bounds(type_: ColumnType) -> tuple[int, int]:
    if type_.kind is TypeKind.BIT:
        return 0, 1
    if type_.kind is TypeKind.DECIMAL:
        most = min(10 ** (type_.precision - type_.scale) - 1, 2**63 - 1)
        return -most, most
    bits = 8 * (type_.length or 8)
    # SQLite has no integer above 2^63 - 1.
    return (0, min(2**bits, 2**63) - 1) if type_.is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _parses(text: str, type_: ColumnType) -> bool:
    try:
        _PARSERS[type_.kind](text)
    except ValueError:
        return False
    return True


def parse_date(text: str) -> date:
    """Return the date of `YYYY-MM-DD`; raise ValueError for any other form."""
    if len(text) != 10 or text[7] != "-":
        raise ValueError(f"{text!r} is no date")
    return date.fromisoformat(text)


def parse_datetime(text: str) -> datetime:
    """Return the moment of `YYYY-MM-DD[ HH:MM[:SS[.fff…]]]`; raise ValueError for any other form or a zone."""
    moment = datetime.fromisoformat(text)
    if len(text) < 10 or text[7] != "-" or moment.tzinfo is not None:
        raise ValueError(f"{text!r} is no datetime without zone")
    return moment


def parse_time(text: str) -> time:
    """Return the time of `HH:MM[:SS[.fff…]]`; raise ValueError for any other form or a zone."""
    moment = time.fromisoformat(text)
    if text[2:3] != ":" or moment.tzinfo is not None:
        raise ValueError(f"{text!r} is no time without zone")
    return moment


_PARSERS: dict[TypeKind, Callable[[str], object]] = {
    TypeKind.DATE: parse_date,
    TypeKind.DATETIME: parse_datetime,
    TypeKind.TIME: parse_time,
}


def _profile_sql(sql: str, types: Sequence[ColumnType]) -> str:
    names = ", ".join(f"c{i}" for i in range(len(types)))
    checks = ", ".join(_check_sql(f"c{i}", type_) for i, type_ in enumerate(types))
    return f"WITH profiled({names}) AS ({sql}) SELECT {checks} FROM profiled"  # noqa: S608 - names of ours


def _check_sql(column: str, type_: ColumnType) -> str:
    """Two columns of the profile: storage rank of what does not fit, greatest length. Each costs time per row."""
    if type_.kind in _STRINGS:
        # Their encoders take any value; only the length can break the declaration.
        return f"0, max(length({column}))" if type_.length is not None else "0, 0"
    rank = f"CASE typeof({column}) WHEN 'integer' THEN 1 WHEN 'real' THEN 2 WHEN 'text' THEN 3 ELSE 4 END"
    fit = _fit_sql(type_).format(c=column)
    length = f"max(length({column}))" if type_.kind is TypeKind.UNKNOWN else "NULL"
    return f"max(CASE WHEN {column} IS NULL OR ({fit}) THEN 0 ELSE {rank} END), {length}"


def _profiled(type_: ColumnType, misfit: object, length: object) -> tuple[int, int]:
    if type_.kind in _STRINGS:
        is_longer = type_.length is not None and int(str(length or 0)) > type_.length
        return (_STORED.get(type_.kind, 3) if is_longer else 0), int(str(length or 0))
    return int(str(misfit or 0)), _ANY_LENGTH if length is None else int(str(length))


def _fit_sql(type_: ColumnType) -> str:
    if type_.kind in _NUMBERS:
        low, high = _bounds(type_)
        is_decimal = type_.kind is TypeKind.DECIMAL
        real = f" OR (typeof({{c}}) = 'real' AND abs({{c}}) < {high}.0)" if is_decimal else ""
        return f"(typeof({{c}}) = 'integer' AND {{c}} BETWEEN {low} AND {high}){real}"
    if type_.kind is TypeKind.FLOAT:
        return "typeof({c}) IN ('integer', 'real')"
    return _MOMENT_SQL.get(type_.kind, "0")


# With a modifier SQLite rolls 30 February over into March, so a date holds when it comes back unchanged.
# Year 0 exists there, not here. datetime() costs a fifth of strftime(). Lengths with a zone behind the seconds are left out.
_MOMENT_SQL = {
    TypeKind.DATE: "date({c}, '+0 days') IS {c} AND {c} >= '0001'",
    TypeKind.DATETIME: (
        "CASE WHEN length({c}) = 10 THEN date({c}, '+0 days') IS {c} WHEN length({c}) IN (19, 21, 22, 23, 26, 27)"
        " THEN datetime(substr({c}, 1, 19), '+0 days') IS substr({c}, 1, 10) || ' ' || substr({c}, 12, 8)"
        " ELSE 0 END AND {c} >= '0001'"
    ),
    TypeKind.TIME: "length({c}) >= 8 AND {c} NOT GLOB '*[Z+-]*' AND time({c}) IS substr({c}, 1, 8)",
}
