"""Rows of a result set as TDS: COLMETADATA, and one encoder per column that turns a piece of values into bytes.

Encoders are built once per result set and work down a column, which is several times faster than along a row.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from itertools import chain, repeat
from typing import Any, Final

from examples.estate.wire.declared import ColumnType, TypeKind
from examples.estate.wire.failures import Fault, SqlFailure
from examples.estate.wire.result_columns import (
    MAX_BOUNDED_BYTES,
    MAX_BOUNDED_TEXT,
    ResultColumn,
    Row,
    parse_date,
    parse_datetime,
    parse_time,
)
from examples.estate.wire.tds_tokens import COLLATION, short_text

Encoder = Callable[[Sequence[Any]], list[bytes]]

_NULL_BYTE: Final = b"\0"
_NULL_SHORT: Final = b"\xff\xff"
_NULL_PLP: Final = b"\xff" * 8
_PREFIXES: Final = [struct.pack("<H", n) for n in range(8001)]
_INTEGERS: Final = {1: "<BB", 2: "<Bh", 4: "<Bi", 8: "<Bq"}


def metadata(columns: Sequence[ResultColumn]) -> bytes:
    """COLMETADATA ([MS-TDS] 2.2.7.4); every column may be null."""
    heads = [struct.pack("<IH", 0, 0x0009) + _type_info(column.type) + short_text(column.name) for column in columns]
    return struct.pack("<BH", 0x81, len(columns)) + b"".join(heads)


class RowEncoder:
    """Encodes the rows of one result set, piece by piece."""

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        self._columns = columns
        self._encoders = [_encoder(column.type) for column in columns]

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Return ROW tokens; raise SqlFailure(CONVERSION) that names the column of a value that does not fit."""
        cells = [self._column(index, values) for index, values in enumerate(zip(*rows, strict=True))]
        return b"".join(chain.from_iterable(zip(repeat(b"\xd1"), *cells, strict=False)))

    def _column(self, index: int, values: Sequence[Any]) -> list[bytes]:
        try:
            return self._encoders[index](values)
        except (ValueError, TypeError, OverflowError, IndexError, struct.error) as error:
            column = self._columns[index]
            detail = f"a value of column '{column.name}' is no {column.type.name}"
            raise SqlFailure(Fault.CONVERSION, near=column.name, detail=detail) from error


def _type_info(type_: ColumnType) -> bytes:
    kind = type_.kind
    if kind is TypeKind.BIT:
        return b"\x68\x01"
    if kind in (TypeKind.INTEGER, TypeKind.FLOAT):
        return bytes([0x26 if kind is TypeKind.INTEGER else 0x6D, _width(type_)])
    if kind is TypeKind.DECIMAL:
        return bytes([0x6A, _decimal_bytes(type_), type_.precision, type_.scale])
    if kind is TypeKind.BYTES:
        length = type_.length if _is_short(type_, MAX_BOUNDED_BYTES) else 0xFFFF
        return struct.pack("<BH", 0xA5, length)
    if kind is TypeKind.DATE:
        return b"\x28"
    if kind in (TypeKind.TIME, TypeKind.DATETIME):
        return bytes([0x29 if kind is TypeKind.TIME else 0x2A, type_.scale])
    length = (type_.length or 0) * 2 if _is_short(type_, MAX_BOUNDED_TEXT) else 0xFFFF
    token = 0xEF if kind is TypeKind.FIXED_TEXT and length != 0xFFFF else 0xE7
    return struct.pack("<BH", token, length) + COLLATION


def _width(type_: ColumnType) -> int:
    # TDS has one signless integer, of one byte; a wider signless type takes the next size, and -1 needs two bytes.
    width = type_.length or 8
    if type_.kind is TypeKind.INTEGER and type_.is_unsigned != (width == 1):
        return min(width * 2, 8)
    return width


def _is_short(type_: ColumnType, bound: int) -> bool:
    return type_.length is not None and type_.length <= bound


def _decimal_bytes(type_: ColumnType) -> int:
    """Sign and magnitude by precision ([MS-TDS] 2.2.5.5.1.6)."""
    return next(size for bound, size in ((9, 5), (19, 9), (28, 13), (38, 17)) if type_.precision <= bound)


def _encoder(type_: ColumnType) -> Encoder:
    kind = type_.kind
    if kind in (TypeKind.INTEGER, TypeKind.BIT):
        return _integers(1 if kind is TypeKind.BIT else _width(type_))
    if kind is TypeKind.FLOAT:
        return _floats(_width(type_))
    if kind is TypeKind.DECIMAL:
        return _decimals(type_)
    if kind is TypeKind.BYTES:
        return _plp(_as_bytes) if not _is_short(type_, MAX_BOUNDED_BYTES) else _short(_as_bytes)
    if kind is TypeKind.DATE:
        return _dates()
    if kind is TypeKind.DATETIME:
        return _datetimes(type_.scale)
    if kind is TypeKind.TIME:
        return _times(type_.scale)
    if not _is_short(type_, MAX_BOUNDED_TEXT):
        return _plp(_as_utf16)
    return _fixed_texts(type_.length or 1) if kind is TypeKind.FIXED_TEXT else _texts


def _integers(width: int) -> Encoder:
    pack = struct.Struct(_INTEGERS[width]).pack
    return lambda values: [_NULL_BYTE if v is None else pack(width, v) for v in values]


def _floats(width: int) -> Encoder:
    pack = struct.Struct("<Bf" if width == 4 else "<Bd").pack
    return lambda values: [_NULL_BYTE if v is None else pack(width, v) for v in values]


def _decimals(type_: ColumnType) -> Encoder:
    size = _decimal_bytes(type_)
    factor: int = 10**type_.scale
    if size > 9:

        def wide(value: float) -> bytes:
            unscaled = round(value * factor)
            return bytes((size, unscaled >= 0)) + abs(unscaled).to_bytes(size - 1, "little")

        return lambda values: [_NULL_BYTE if v is None else wide(v) for v in values]
    pack = struct.Struct("<BBI" if size == 5 else "<BBQ").pack
    return lambda values: [_NULL_BYTE if v is None else pack(size, v >= 0, abs(round(v * factor))) for v in values]


def _texts(values: Sequence[Any]) -> list[bytes]:
    try:
        return [_NULL_SHORT if v is None else _PREFIXES[len(data := v.encode("utf-16-le"))] + data for v in values]
    except (AttributeError, UnicodeEncodeError):
        return _short(_as_utf16)(values)


def _fixed_texts(length: int) -> Encoder:
    return lambda values: _texts([None if v is None else v.ljust(length) for v in values])


def _short(convert: Callable[[Any], bytes]) -> Encoder:
    return lambda values: [_NULL_SHORT if v is None else _PREFIXES[len(data := convert(v))] + data for v in values]


def _plp(convert: Callable[[Any], bytes]) -> Encoder:
    """Partially length-prefixed: total, one chunk, terminator."""

    def cell(value: Any) -> bytes:
        data = convert(value)
        chunk = struct.pack("<I", len(data)) + data if data else b""
        return struct.pack("<Q", len(data)) + chunk + b"\0\0\0\0"

    return lambda values: [_NULL_PLP if v is None else cell(v) for v in values]


def _as_utf16(value: Any) -> bytes:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.encode("utf-16-le", "replace")


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _dates() -> Encoder:
    known: dict[str, bytes] = {}

    def cell(text: str) -> bytes:
        found = known.get(text)
        if found is None:
            found = known[text] = b"\x03" + _days(parse_date(text)).to_bytes(3, "little")
        return found

    return lambda values: [_NULL_BYTE if v is None else cell(v) for v in values]


def _days(day: date) -> int:
    """Days since 1 January of year 1."""
    return day.toordinal() - 1


def _time_bytes(scale: int) -> int:
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def _datetimes(scale: int) -> Encoder:
    size = _time_bytes(scale)
    shift = 8 * size
    units = _units(scale)
    total = size + 4

    def cell(text: str) -> bytes:
        moment: datetime = parse_datetime(text)
        packed = (moment.toordinal() - 1) << shift | units(moment)
        return (packed << 8 | size + 3).to_bytes(total, "little")

    return lambda values: [_NULL_BYTE if v is None else cell(v) for v in values]


def _times(scale: int) -> Encoder:
    size = _time_bytes(scale)
    units = _units(scale)
    return lambda values: [
        _NULL_BYTE if v is None else bytes([size]) + units(parse_time(v)).to_bytes(size, "little") for v in values
    ]


def _units(scale: int) -> Callable[[datetime | time], int]:
    """Units of 10^-scale seconds since midnight; finer digits are cut off."""
    per_second: int = 10**scale
    up: int = 10 ** max(scale - 6, 0)
    down: int = 10 ** max(6 - scale, 0)

    def count(at: datetime | time) -> int:
        seconds = at.hour * 3600 + at.minute * 60 + at.second
        return seconds * per_second + at.microsecond * up // down

    return count
