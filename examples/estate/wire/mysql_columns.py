"""Rows of a result set in MySQL's text protocol: column definitions, and one encoder per column."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from examples.estate.wire.declared import ColumnType, TypeKind
from examples.estate.wire.moments import spell
from examples.estate.wire.mysql_packets import BINARY, UTF8MB4, length_encoded, length_encoded_integer
from examples.estate.wire.result_columns import ResultColumn, Row

_NULL: Final = b"\xfb"
_SHORT: Final = [bytes([n]) for n in range(251)]
_UNSIGNED, _BLOB_FLAG, _BINARY_FLAG = 32, 16, 128
_INTEGERS: Final = {1: (0x01, 4), 2: (0x02, 6), 4: (0x03, 11), 8: (0x08, 20)}
_BLOB, _VAR_STRING, _STRING = 0xFC, 0xFD, 0xFE
_MOMENTS: Final = {TypeKind.DATE: (0x0A, 10), TypeKind.TIME: (0x0B, 10), TypeKind.DATETIME: (0x0C, 19)}

Encoder = Callable[[Sequence[Any]], list[bytes]]


def definition(column: ResultColumn, schema: str) -> bytes:
    """Column definition of protocol 4.1."""
    type_ = column.type
    code, length, flags, decimals = _wire_type(type_)
    is_text = type_.kind in (TypeKind.TEXT, TypeKind.FIXED_TEXT)
    name = length_encoded(column.name.encode("utf-8", "replace"))
    tail = struct.pack("<BHIBHBH", 0x0C, UTF8MB4 if is_text else BINARY, length, code, flags, decimals, 0)
    return length_encoded(b"def") + length_encoded(schema.encode()) + b"\0\0" + name + b"\0" + tail


def _wire_type(type_: ColumnType) -> tuple[int, int, int, int]:
    """Type code, greatest length in bytes, flags, digits after the point."""
    kind = type_.kind
    unsigned = _UNSIGNED if type_.is_unsigned else 0
    if kind in (TypeKind.INTEGER, TypeKind.BIT):
        code, length = _INTEGERS[type_.length or 8]
        return code, length, unsigned | _BINARY_FLAG, 0
    if kind is TypeKind.FLOAT:
        return (0x04, 12, unsigned | _BINARY_FLAG, 31) if type_.length == 4 else (0x05, 22, _BINARY_FLAG, 31)
    if kind is TypeKind.DECIMAL:
        return 0xF6, type_.precision + 2, _BINARY_FLAG, type_.scale
    if kind in _MOMENTS:
        code, length = _MOMENTS[kind]
        return code, length + (1 + type_.scale if type_.scale else 0), _BINARY_FLAG, type_.scale
    binary = _BINARY_FLAG if kind is TypeKind.BYTES else 0
    if type_.length is None:
        return _BLOB, 2**32 - 1, _BLOB_FLAG | binary, 0
    width = 1 if binary else 4
    return (_STRING if kind is TypeKind.FIXED_TEXT else _VAR_STRING), type_.length * width, binary, 0


class RowEncoder:
    """Turns pieces of rows into payloads, one a row."""

    def __init__(self, columns: Sequence[ResultColumn]) -> None:
        self._encoders = [_encoder(column.type) for column in columns]

    def encode(self, rows: Sequence[Row]) -> list[bytes]:
        """Return the text rows; every value has a text, so nothing can fail."""
        cells = [encode(values) for encode, values in zip(self._encoders, zip(*rows, strict=True), strict=True)]
        return [b"".join(row) for row in zip(*cells, strict=True)]


def _encoder(type_: ColumnType) -> Encoder:
    if type_.kind is TypeKind.DECIMAL:
        return _decimals(type_.scale)
    if type_.kind in _MOMENTS:
        return _moments(type_)
    return lambda values: [_NULL if v is None else _cell(_as_bytes(v)) for v in values]


def _moments(type_: ColumnType) -> Encoder:
    usual = _MOMENTS[type_.kind][1] + (1 + type_.scale if type_.scale else 0)
    prefix = _SHORT[usual]

    def cell(text: str) -> bytes:
        if len(text) == usual and "T" not in text:
            return prefix + text.encode()
        return _cell(spell(text, type_).encode())

    return lambda values: [_NULL if v is None else cell(v) for v in values]


def _cell(data: bytes) -> bytes:
    size = len(data)
    return _SHORT[size] + data if size < 251 else length_encoded_integer(size) + data


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "replace") if isinstance(value, str) else repr(value).encode()


def _decimals(scale: int) -> Encoder:
    zeros = "." + "0" * scale if scale else ""

    def text(value: float) -> bytes:
        return (f"{value}{zeros}" if isinstance(value, int) else f"{value:.{scale}f}").encode()

    return lambda values: [_NULL if v is None else _cell(text(v)) for v in values]
