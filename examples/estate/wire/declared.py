"""Declared column types of both dialects: what `decimal(18,2)` or `datetime2(3)` means for a value on the wire.

SQLite keeps the declaration as text and lets any value in; here it gets its meaning back.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto


class TypeKind(Enum):
    """Families of types that share an encoding."""

    INTEGER = auto()
    BIT = auto()
    FLOAT = auto()
    DECIMAL = auto()
    TEXT = auto()
    FIXED_TEXT = auto()
    BYTES = auto()
    DATE = auto()
    TIME = auto()
    DATETIME = auto()
    UNKNOWN = auto()


TEMPORAL = frozenset({TypeKind.DATE, TypeKind.TIME, TypeKind.DATETIME})


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type. `length`: bytes of a number, characters of text, bytes of binary; None means no bound.

    `scale` is digits after the point, of a decimal's value or of a second.
    """

    kind: TypeKind
    name: str = ""
    length: int | None = None
    precision: int = 0
    scale: int = 0
    is_unsigned: bool = False


UNKNOWN = ColumnType(TypeKind.UNKNOWN)
BIGINT = ColumnType(TypeKind.INTEGER, "bigint", 8)
DOUBLE = ColumnType(TypeKind.FLOAT, "float", 8)

_INTEGERS = {"tinyint": 1, "smallint": 2, "mediumint": 4, "int": 4, "integer": 8, "bigint": 8, "year": 2}
_FLOATS = {"real": 4, "float": 8, "double": 8, "double precision": 8}
_DECIMALS = {"decimal": (18, 0), "numeric": (18, 0), "dec": (18, 0), "money": (19, 4), "smallmoney": (10, 4)}
_TEXTS = {"nvarchar": 1, "varchar": 1, "nchar": 1, "char": 1}
_UNBOUNDED_TEXTS = {"text", "ntext", "tinytext", "mediumtext", "longtext", "xml", "json", "sysname", "clob"}
_BYTES = {"varbinary": 1, "binary": 1}
_UNBOUNDED_BYTES = {"blob", "image", "tinyblob", "mediumblob", "longblob"}
_DATETIMES = {"datetime2": 7, "datetime": 3, "smalldatetime": 0, "timestamp": 0}
_FORM = re.compile(r"\s*([a-zA-Z][\w ]*?)\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(unsigned)?\s*(?:zerofill)?\s*", re.I)


def parse_declared(text: str, *, is_mysql: bool = False) -> ColumnType:
    """Return the meaning of a declaration such as `nvarchar(50)`; UNKNOWN when it is none of either dialect."""
    match = _FORM.fullmatch(text)
    if match is None:
        return UNKNOWN
    name, first, second, unsigned = match.group(1).lower(), match.group(2), match.group(3), match.group(4)
    if name.endswith(" unsigned"):
        name, unsigned = name.removesuffix(" unsigned").rstrip(), "unsigned"
    size = int(first) if first and first.lower() != "max" else None
    return (
        _number(name, size, int(second or 0), bool(unsigned), is_mysql)
        or _string(name, size, is_max=first is not None and size is None)
        or _moment(name, size, is_mysql)
        or UNKNOWN
    )


def _number(name: str, size: int | None, scale: int, is_unsigned: bool, is_mysql: bool) -> ColumnType | None:
    if name in _INTEGERS:
        # SQL Server's tinyint has no sign; MySQL's has one unless it says otherwise.
        is_unsigned = is_unsigned or (name == "tinyint" and not is_mysql)
        return ColumnType(TypeKind.INTEGER, name, _INTEGERS[name], is_unsigned=is_unsigned)
    if name in ("bit", "boolean", "bool"):
        return ColumnType(TypeKind.BIT, name, 1)
    if name in _FLOATS:
        is_short = name == "float" and size is not None and size <= 24
        return ColumnType(TypeKind.FLOAT, name, 4 if is_short else _FLOATS[name])
    if name in _DECIMALS:
        precision, default_scale = _DECIMALS[name]
        return ColumnType(TypeKind.DECIMAL, name, precision=min(size or precision, 38), scale=scale if size else default_scale)
    return None


def _string(name: str, size: int | None, *, is_max: bool) -> ColumnType | None:
    if name in _TEXTS:
        kind = TypeKind.FIXED_TEXT if name in ("char", "nchar") else TypeKind.TEXT
        return ColumnType(kind, name, None if is_max else size or 1)
    if name in _UNBOUNDED_TEXTS:
        return ColumnType(TypeKind.TEXT, name)
    if name in _BYTES:
        return ColumnType(TypeKind.BYTES, name, None if is_max else size or 1)
    if name in _UNBOUNDED_BYTES:
        return ColumnType(TypeKind.BYTES, name)
    return None


def _moment(name: str, size: int | None, is_mysql: bool) -> ColumnType | None:
    if name == "date":
        return ColumnType(TypeKind.DATE, name)
    if name == "time":
        return ColumnType(TypeKind.TIME, name, scale=min(_or(size, 0 if is_mysql else 7), 7))
    if name in _DATETIMES:
        default = 0 if is_mysql else _DATETIMES[name]
        return ColumnType(TypeKind.DATETIME, name, scale=min(_or(size, default), 7))
    return None


def _or(size: int | None, default: int) -> int:
    return default if size is None else size
