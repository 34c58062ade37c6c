"""Bytes in pieces → whole records by line, before they are decoded: one undecodable byte spoils one record, not the file.

Splitting bytes is safe in UTF-8, GBK, GB18030 and Big5: none of their trailing bytes is a newline, a comma or a quote.
UTF-16 is not like that and is turned into UTF-8 first. How the bytes are cut into pieces makes no difference.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RECORD_BYTES = 1 << 20
KEPT_BYTES = 65_536  # of a record that is too long
_BOM = {"utf-8": codecs.BOM_UTF8, "utf-8-sig": codecs.BOM_UTF8, "gb18030": "\ufeff".encode("gb18030")}
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@dataclass(slots=True)
class RawRecord:
    """One record's bytes without its line end, the line it began on (from 1), and its fault, if it is too long.

    `is_open`: a quote was opened and not closed. Only the parser can tell what belongs together then.
    """

    data: bytes
    line: int
    fault: str = ""
    is_open: bool = False


class LineSplitter:
    """`quote` (one byte, or none) protects newlines inside quoted fields, as RFC 4180 §2.6 has it: it opens a field at the field's
    beginning only, so that a stray one (`15" screen`) protects nothing."""

    def __init__(self, encoding: str, quote: bytes = b"", delimiter: bytes = b",") -> None:
        name = codecs.lookup(encoding).name
        self._wide = codecs.getincrementaldecoder(encoding)("replace") if name in _WIDE else None
        self._encoding = encoding
        self._bom = codecs.BOM_UTF8 if self._wide else _BOM.get(name, b"")
        q, d = re.escape(quote), re.escape(delimiter)
        self._quote = quote
        self._inside = re.compile(rb"[^%b]*(?:%b%b[^%b]*)*(%b?)" % (q, q, q, q, q)) if quote else None
        self._field = re.compile(rb"(?:\A|%b)%b" % (d, q))
        self._rest = b""
        self._line = 1
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_open = False
        self._is_skipping = False  # the tail of a line that was given up

    @property
    def encoding_after(self) -> str | None:
        """The encoding of the records where it is not the file's own."""
        return "utf-8" if self._wide else None

    def original(self, data: bytes) -> bytes:
        """A record's bytes in the file's own encoding, so that a replay reads them as the file was read."""
        return data.decode().encode(self._encoding) if self._wide else data

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Whole records in what has come so far."""
        if self._wide is not None:
            data = self._wide.decode(data).encode()
        data = self._rest + data
        if self._bom:
            if len(data) < len(self._bom) and self._bom.startswith(data):
                self._rest = data
                return
            data, self._bom = data.removeprefix(self._bom), b""
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            yield from self._take(line)
        if self._is_skipping:
            self._rest = b""
        elif len(self._rest) > MAX_RECORD_BYTES:
            yield from self._give_up(self._rest)
            self._rest, self._is_skipping = b"", True

    def _take(self, line: bytes) -> Iterator[RawRecord]:
        if self._is_skipping:
            self._is_skipping = False
            self._line += 1
            return
        if len(line) > MAX_RECORD_BYTES:
            yield from self._give_up(line)
            self._line += 1
            return
        if self._held_bytes + len(line) > MAX_RECORD_BYTES:
            yield from self._release()
        self._is_open = self._opens(line)
        self._held.append(line)
        self._held_bytes += len(line) + 1
        if not self._is_open:
            yield from self._release()

    def _opens(self, line: bytes) -> bool:
        """Whether a quoted field is open at the end of the line."""
        if self._inside is None or (not self._is_open and self._quote not in line):
            return self._is_open
        position, is_open = 0, self._is_open
        while True:
            if not is_open:
                found = self._field.search(line, position)
                if found is None:
                    return False
                position = found.end()
            closed = self._inside.match(line, position)
            assert closed is not None
            if not closed[1]:
                return True
            position, is_open = closed.end(), False

    def _give_up(self, line: bytes) -> Iterator[RawRecord]:
        yield from self._release()
        yield RawRecord(line[:KEPT_BYTES], self._line, f"a record longer than {MAX_RECORD_BYTES} bytes")

    def _release(self) -> Iterator[RawRecord]:
        if self._held:
            yield RawRecord(b"\n".join(self._held).removesuffix(b"\r"), self._line, is_open=self._is_open)
        self._line += len(self._held)
        self._held, self._held_bytes, self._is_open = [], 0, False

    def finish(self) -> Iterator[RawRecord]:
        """The last record, where the file does not end with a newline, or ends inside a quoted field."""
        if self._wide is not None:
            self._rest += self._wide.decode(b"", final=True).encode()
        if self._rest and not self._is_skipping:
            yield from self._take(self._rest)
        yield from self._release()
        self._rest = b""


def decoded(record: RawRecord, encoding: str) -> str:
    """The record's text. ValueError says which byte at which offset of the record is no text in this encoding."""
    if record.fault:
        raise ValueError(record.fault)
    try:
        text = record.data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = record.data[error.start : error.end].hex(" ")
        raise ValueError(f"byte {wrong} at offset {error.start} is no {encoding} text") from None
    if "\ufffd" in text:
        raise ValueError(f"bytes that are no text, shown as U+FFFD at character {text.index(chr(0xFFFD))}")
    return text
