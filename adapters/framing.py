"""Where messages begin and end in a stream of bytes: by length, delimiter, fixed size or STX and ETX. No I/O.

A feed that refuses sends a line beginning ERR where a frame was expected.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from core.errors import InvalidInput, Unavailable

Size = Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)]


class LengthFraming(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="length"):
    """Each frame after its length in bytes, big-endian, itself not counted."""

    length_bytes: Literal[2, 4] = 4
    max_bytes: Size = 1024 * 1024


class DelimiterFraming(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="delimiter"):
    r"""Each frame before a delimiter, written with escapes: `\n`, `\r\n`, `\x1e`."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=64)] = "\\n"
    max_bytes: Size = 1024 * 1024


class FixedFraming(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """Frames of `size` bytes, nothing between them."""

    size: Size


class StxEtxFraming(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="stx_etx"):
    """Frames between STX (0x02) and ETX (0x03); white space between frames is passed over."""

    max_bytes: Size = 1024 * 1024


Framing: TypeAlias = LengthFraming | DelimiterFraming | FixedFraming | StxEtxFraming


class FrameSplitter:
    """Bytes in, whole frames out; no I/O. It holds at most one frame and one read."""

    def __init__(self, framing: Framing) -> None:
        self._buffer = bytearray()
        self._next = _splitting(framing)
        self._is_text = isinstance(framing, DelimiterFraming)
        # "ER" is also the length 17746: where that is allowed, an ERR line shows only at the end, as a frame cut off.
        self._is_clear = not (isinstance(framing, LengthFraming) and framing.length_bytes == 2 and framing.max_bytes >= 0x4552)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def frames(self) -> Iterator[bytes]:
        """The frames that are whole by now; blank lines are none. Raises Unavailable at an ERR line or what is no valid frame,
        after the frames before it."""
        while self._buffer:
            if self._is_clear and (refusal := _ERR_LINE.match(self._buffer)) is not None:
                raise _refused(refusal[1])
            if (frame := self._next(self._buffer)) is None:
                return
            if self._is_text and (refusal := _ERR.match(frame)) is not None:
                raise _refused(refusal[1])
            if frame.strip() or not self._is_text:
                yield frame

    def end(self) -> None:
        """Nothing more comes. Raises Unavailable when that cuts a frame or an ERR line off."""
        if (refusal := _ERR.match(self._buffer)) is not None:
            raise _refused(refusal[1])
        if self._buffer and not (self._is_text and self._buffer.isspace()):
            raise Unavailable(f"the feed stopped in the middle of a frame, after {len(self._buffer)} bytes of it")


_ERR_LINE = re.compile(rb"(ERR(?:[ :][^\n]{0,500})?)\r?\n")
_ERR = re.compile(rb"(ERR(?:[ :][^\n]*)?)\s*\Z")


def _refused(line: bytes) -> Unavailable:
    text = line.decode("utf-8", errors="replace")
    return Unavailable(f"the feed refuses: {''.join(c if c.isprintable() else ' ' for c in text)[:300].strip()}")


def _splitting(framing: Framing) -> Callable[[bytearray], bytes | None]:
    """The function that takes one frame off the front of a buffer, None while it is not whole."""
    if isinstance(framing, LengthFraming):
        return partial(_by_length, framing.length_bytes, framing.max_bytes)
    if isinstance(framing, DelimiterFraming):
        return partial(_by_delimiter, unescaped(framing.delimiter), framing.max_bytes)
    if isinstance(framing, FixedFraming):
        return partial(_by_size, framing.size)
    return partial(_by_stx_etx, framing.max_bytes)


def _taken(buffer: bytearray, start: int, end: int, drop: int) -> bytes:
    frame = bytes(buffer[start:end])
    del buffer[:drop]
    return frame


def _by_length(length_bytes: int, max_bytes: int, buffer: bytearray) -> bytes | None:
    if len(buffer) < length_bytes:
        return None
    size = int.from_bytes(buffer[:length_bytes], "big")
    if not 1 <= size <= max_bytes:
        # An ERR line stands where the length should; as a length it is larger than any that is allowed.
        if buffer.startswith(b"ERR"[:length_bytes]) and len(buffer) <= 512 and b"\n" not in buffer:
            return None
        raise Unavailable(f"the feed announces a frame of {size} bytes; 1 to {max_bytes} are allowed (framing, max_bytes)")
    end = length_bytes + size
    return None if len(buffer) < end else _taken(buffer, length_bytes, end, end)


def _by_delimiter(delimiter: bytes, max_bytes: int, buffer: bytearray) -> bytes | None:
    end = buffer.find(delimiter, 0, max_bytes + len(delimiter))
    if end >= 0:
        return _taken(buffer, 0, end, end + len(delimiter))
    if len(buffer) >= max_bytes + len(delimiter):
        raise Unavailable(f"the feed sends a frame of more than {max_bytes} bytes (framing, max_bytes)")
    return None


def _by_size(size: int, buffer: bytearray) -> bytes | None:
    return None if len(buffer) < size else _taken(buffer, 0, size, size)


def _by_stx_etx(max_bytes: int, buffer: bytearray) -> bytes | None:
    while buffer[:1].isspace():
        del buffer[:1]
    if not buffer or b"ERR".startswith(buffer[:3]):
        return None
    if buffer[0] != 2:
        raise Unavailable(f"the feed sends byte 0x{buffer[0]:02x} where a frame should begin with STX (0x02)")
    end = buffer.find(b"\x03", 1, max_bytes + 2)
    if end >= 0:
        return _taken(buffer, 1, end, end + 1)
    if len(buffer) >= max_bytes + 2:
        raise Unavailable(f"the feed sends a frame of more than {max_bytes} bytes (framing, max_bytes)")
    return None


_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def unescaped(text: str) -> bytes:
    r"""Bytes of a text with the escapes `\n \r \t \0 \\ \xHH`; other characters in UTF-8. InvalidInput for any other escape."""

    def replacement(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        if len(escape) == 3:
            return bytes.fromhex(escape[1:].decode())
        raise InvalidInput(f"unknown escape in {text[:60]!r}; there are \\n \\r \\t \\0 \\\\ \\xHH")

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.|\Z)", replacement, text.encode(), flags=re.DOTALL)
