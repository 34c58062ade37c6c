"""Parameters of a TDS remote procedure call, as values that SQLite takes ([MS-TDS] 2.2.5.4–6, 2.2.6.6).

Every read is checked against the end of the message: what is short or unknown is a ProtocolError.
"""

import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from examples.estate.wire.moments import Value
from examples.estate.wire.tds_packets import ProtocolError

_PROCEDURES: Final = {10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare"}
_EPOCH: Final = datetime(1900, 1, 1)
_FIXED: Final = {0x1F: 0, 0x30: 1, 0x32: 1, 0x34: 2, 0x38: 4, 0x7F: 8, 0x3B: 4, 0x3E: 8, 0x3C: 8, 0x7A: 4, 0x3D: 8, 0x3A: 4}
_BY_LENGTH: Final = frozenset({0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x24})
_LONG: Final = {0xE7: True, 0xEF: True, 0xA7: True, 0xAF: True, 0xA5: False, 0xAD: False}
_BLOBS: Final = {0x63: True, 0x23: True, 0x22: False}
_WIDE: Final = frozenset({0xE7, 0xEF, 0x63})
_NARROW: Final = frozenset({0xA7, 0xAF, 0x23})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument; `name` is without @ and in lower case, empty for a positional one."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Call:
    """One procedure call of a message."""

    procedure: str
    parameters: tuple[Parameter, ...]


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self._data)

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self._data):
            raise ProtocolError(f"a message ends {size} bytes too early at byte {self.at}")
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self, form: str) -> int:
        found: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self, characters: int) -> str:
        return utf16(self.take(characters * 2))


def utf16(data: bytes) -> str:
    """Return the text; raise ProtocolError when it is none."""
    try:
        return data.decode("utf-16-le", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ProtocolError("a text is no UTF-16") from error


def headers_length(body: bytes) -> int:
    """Return where the message proper starts, behind ALL_HEADERS."""
    length = _Reader(body, 0).number("<I")
    if not 4 <= length <= len(body):
        raise ProtocolError(f"headers of {length} bytes in a message of {len(body)}")
    return length


def read_calls(body: bytes) -> Iterator[Call]:
    """Yield the calls of an RPC message, one after another."""
    reader = _Reader(body, headers_length(body))
    while not reader.is_at_end:
        yield _call(reader)


def _call(reader: _Reader) -> Call:
    length = reader.number("<H")
    if length == 0xFFFF:
        number = reader.number("<H")
        procedure = _PROCEDURES.get(number, f"#{number}")
    else:
        procedure = reader.text(length).lower().rpartition(".")[2].strip("[]")
    reader.take(2)
    parameters = []
    while not reader.is_at_end:
        length = reader.byte()
        if length >= 0x80:  # the flag between two calls; a name has at most 127 characters
            break
        name = reader.text(length).lower().removeprefix("@")
        reader.byte()
        try:
            parameters.append(Parameter(name, _value(reader)))
        except (ValueError, OverflowError, struct.error) as error:
            raise ProtocolError(f"parameter {name!r} holds no value of its type: {error}") from error
    return Call(procedure, tuple(parameters))


def _value(reader: _Reader) -> Value:
    type_ = reader.byte()
    if type_ in _FIXED:
        return _by_length(type_, reader.take(_FIXED[type_]))
    if type_ in _BY_LENGTH:
        reader.byte()
        return _by_length(type_, reader.take(reader.byte()))
    if type_ in (0x6A, 0x6C):
        _, _, scale = reader.take(3)
        return _decimal(reader.take(reader.byte()), scale)
    if type_ in _MOMENTS:
        scale = 0 if type_ == 0x28 else reader.byte()
        data = reader.take(reader.byte())
        return _MOMENTS[type_](data, scale) if data else None
    if type_ in _LONG:
        bound = reader.number("<H")
        if _LONG[type_]:
            reader.take(5)
        return _text_or_bytes(type_, _plp(reader) if bound == 0xFFFF else _short(reader))
    if type_ in _BLOBS:
        reader.take(4 + (5 if _BLOBS[type_] else 0))
        size = reader.number("<i")
        return _text_or_bytes(type_, None if size < 0 else reader.take(size))
    raise ProtocolError(f"parameters of type 0x{type_:02x} are not supported")


def _short(reader: _Reader) -> bytes | None:
    size = reader.number("<H")
    return None if size == 0xFFFF else reader.take(size)


def _plp(reader: _Reader) -> bytes | None:
    total = reader.number("<Q")
    if total == 0xFFFFFFFFFFFFFFFF:
        return None
    data = bytearray()
    while size := reader.number("<I"):
        data += reader.take(size)
    return bytes(data)


def _text_or_bytes(type_: int, data: bytes | None) -> Value:
    if data is None:
        return None
    if type_ in _WIDE:
        return utf16(data)
    return data.decode("utf-8", "replace") if type_ in _NARROW else data


def _by_length(type_: int, data: bytes) -> Value:
    if not data:
        return None
    if type_ in (0x6D, 0x3B, 0x3E):
        real: float = struct.unpack("<d" if len(data) == 8 else "<f", data)[0]
        return real
    if type_ in (0x6F, 0x3D, 0x3A):
        return _old_datetime(data)
    if type_ in (0x6E, 0x3C, 0x7A):
        cents = int.from_bytes(data[4:] + data[:4] if len(data) == 8 else data, "little", signed=True)
        return _number(Decimal(cents).scaleb(-4))
    if type_ == 0x24:
        return str(uuid.UUID(bytes_le=data)).upper()
    return int.from_bytes(data, "little", signed=len(data) > 1)


def _decimal(data: bytes, scale: int) -> Value:
    if not data:
        return None
    magnitude = int.from_bytes(data[1:], "little")
    return _number(Decimal(magnitude if data[0] else -magnitude).scaleb(-scale))


def _number(value: Decimal) -> Value:
    """An integer or a float where that is exact; else the digits, which a column of numbers takes as well."""
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    real = float(value)
    return real if Decimal(repr(real)) == value else str(value)


def _old_datetime(data: bytes) -> str:
    if len(data) == 4:
        days, minutes = struct.unpack("<HH", data)
        return str(_EPOCH + timedelta(days=days, minutes=minutes))
    days, ticks = struct.unpack("<iI", data)
    moment = _EPOCH + timedelta(days=days, milliseconds=round(ticks * 10 / 3))
    return moment.isoformat(" ", "milliseconds")


def _date(data: bytes, scale: int) -> str:
    return date.fromordinal(int.from_bytes(data[:3], "little") + 1).isoformat()


def _clock(data: bytes, scale: int) -> timedelta:
    return timedelta(microseconds=int.from_bytes(data, "little") * 10**6 // 10 ** min(scale, 7))


def _time(data: bytes, scale: int) -> str:
    moment: time = (datetime.min + _clock(data, scale)).time()
    return moment.isoformat()


def _datetime2(data: bytes, scale: int) -> str:
    day = datetime.fromordinal(int.from_bytes(data[-3:], "little") + 1)
    moment = day + _clock(data[:-3], scale)
    # Milliseconds where that is exact: what datetime2(3) stores, also where no column name gives the spelling.
    return moment.isoformat(" ", "microseconds" if moment.microsecond % 1000 else "milliseconds")


def _datetimeoffset(data: bytes, scale: int) -> str:
    """The local time, as SQL Server takes it when it drops the offset."""
    moment = datetime.fromisoformat(_datetime2(data[:-2], scale))
    return (moment + timedelta(minutes=int.from_bytes(data[-2:], "little", signed=True))).isoformat(" ")


_MOMENTS: Final[dict[int, Callable[[bytes, int], str]]] = {
    0x28: _date,
    0x29: _time,
    0x2A: _datetime2,
    0x2B: _datetimeoffset,
}
