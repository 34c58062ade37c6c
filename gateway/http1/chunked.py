"""Finds the end of a chunked body while it passes (RFC 9112 §7.1), checking every byte that is not payload.

Works on any splits with bounded memory: the payload is counted, never kept; of a line that is split, its beginning is kept.
"""

import re

from gateway.http1 import fields
from gateway.http1.refused import Refused, ambiguous, malformed

MAX_EXTENSION = 256
MAX_SIZE_DIGITS = 16
MAX_TRAILERS = 8_192
_MAX_SIZE_LINE = MAX_SIZE_DIGITS + MAX_EXTENSION
_MAX_BYTES = 10**18

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,%d})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)" % MAX_SIZE_DIGITS)
_TRAILER = re.compile(rb"([%b]+):[%b]*" % (re.escape(fields.TOKEN_BYTES), re.escape(fields.VALUE_BYTES)))
_FORBIDDEN = frozenset(fields.REQUEST_FIELDS) | fields.PROTECTED | {b"trailer", b"content-range", b"set-cookie", b"cache-control"}
"""A trailer that frames, routes or authenticates would come after the decision (RFC 9110 §6.5.1)."""

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkScanner:
    """Follows one body. `payload`: its bytes without framing so far."""

    __slots__ = ("_left", "_partial", "_state", "_trailer_bytes", "payload")

    def __init__(self) -> None:
        self.payload = 0
        self._state = _SIZE
        self._left = 0  # of the chunk's data
        self._partial = b""  # of a line whose end has not come
        self._trailer_bytes = 0

    @property
    def is_done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes, start: int = 0) -> int:
        """The index just after the body's end, or -1 while it goes on. Raises Refused."""
        return self._walk(data, start, None)

    def decode(self, data: bytes, start: int = 0) -> tuple[int, bytes]:
        """As `feed`, with the payload of this piece."""
        pieces: list[bytes] = []
        end = self._walk(data, start, pieces)
        return end, b"".join(pieces)

    def _walk(self, data: bytes, start: int, pieces: list[bytes] | None) -> int:
        position, size = start, len(data)
        while position < size:
            if self._state == _DATA:
                position = self._data(data, position, pieces)
                continue
            if self._state == _DONE:
                raise ValueError("the body has ended already")
            position = self._line(data, position)
            if self._state == _DONE:
                return position
        return -1

    def _data(self, data: bytes, position: int, pieces: list[bytes] | None) -> int:
        taken = min(self._left, len(data) - position)
        if pieces is not None:
            pieces.append(data[position : position + taken])
        self.payload += taken
        self._left -= taken
        if self._left == 0:
            self._state = _DATA_END
        return position + taken

    def _line(self, data: bytes, position: int) -> int:
        """Take one line, or keep its beginning; the position after it."""
        end = data.find(b"\n", position)
        limit = self._limit() + 2 - len(self._partial)
        if (len(data) if end < 0 else end + 1) - position > limit:
            raise self._too_long()
        if end < 0:
            self._partial += data[position:]
            self._check_beginning()
            return len(data)
        line = self._partial + data[position : end + 1]
        self._partial = b""
        if not line.endswith(b"\r\n"):
            raise malformed("a line of the chunked body ends with a bare line break")
        self._take(line[:-2])
        return end + 1

    def _limit(self) -> int:
        if self._state == _SIZE:
            return _MAX_SIZE_LINE
        return 0 if self._state == _DATA_END else MAX_TRAILERS - self._trailer_bytes

    def _too_long(self) -> Refused:
        if self._state == _SIZE:
            return malformed("a chunk's size or extension is too long")
        if self._state == _DATA_END:
            return malformed("a chunk is longer than its size says")
        return Refused(431, "headers_too_large", f"the trailers are over {MAX_TRAILERS} bytes")

    def _check_beginning(self) -> None:
        """What can't become right is refused at once, not when its line ends."""
        partial = self._partial.removesuffix(b"\r")
        if self._state == _DATA_END and partial:
            raise malformed("a chunk is longer than its size says")
        if self._state == _SIZE and partial and not _SIZE_LINE.fullmatch(partial.rstrip(b" \t")):
            raise malformed("a chunk's size is no hexadecimal number")

    def _take(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._take_size(line)
        elif self._state == _DATA_END:
            if line:
                raise malformed("a chunk is longer than its size says")
            self._state = _SIZE
        elif line:
            self._take_trailer(line)
        else:
            self._state = _DONE

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None or len(found[2]) > MAX_EXTENSION:
            raise malformed("a chunk's size is no hexadecimal number, or its extension is malformed")
        size = int(found[1], 16)  # up to 64 bits: not yet in a C number
        if size > _MAX_BYTES - self.payload:
            raise malformed("a chunk's size is beyond measure")
        self._left = size
        self._state = _DATA if self._left else _TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        found = _TRAILER.fullmatch(line)
        if found is None:
            raise malformed("a trailer is no header field")
        name = found[1].lower()
        if name in _FORBIDDEN or name.startswith(fields.PROTECTED_PREFIXES):
            raise ambiguous("a trailer names a field that must stand in the head")
