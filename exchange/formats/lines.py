"""Bytes in pieces → whole records by line, before they are decoded: one undecodable byte spoils one record, not the file.

Splitting bytes is safe in UTF-8, GBK, GB18030 and Big5: none of their trailing bytes is a newline, a comma or a quote.
UTF-16 is not like that and is turned into UTF-8 first.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RECORD_BYTES = 1 << 20
_BOM = {"utf-8": codecs.BOM_UTF8, "utf-8-sig": codecs.BOM_UTF8}
_WIDE = ("utf-16", "utf16", "utf-16-le", "utf-16-be")


@dataclass(slots=True)
class RawRecord:
    """One record's bytes without its line end, the line it began on (from 1), and whether it is too long or unfinished."""

    data: bytes
    line: int
    fault: str = ""


class LineSplitter:
    """`quote` (one byte, or none) protects newlines inside quoted fields, as RFC 4180 §2.6 has it."""

    def __init__(self, encoding: str, quote: bytes = b"") -> None:
        self._quote = quote
        self._rest = b""
        self._line = 1
        self._skipping = False
        folded = encoding.lower().replace("_", "-")
        self._wide = codecs.getincrementaldecoder(encoding)("replace") if folded in _WIDE else None
        self._bom = _BOM.get(folded, b"")

    @property
    def encoding_after(self) -> str | None:
        """The encoding of the records where it is not the file's own."""
        return "utf-8" if self._wide else None

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Whole records in what has come so far."""
        if self._wide is not None:
            data = self._wide.decode(data).encode()
        if self._bom and self._line == 1 and not self._rest:
            data = data.removeprefix(self._bom)
            self._bom = b""
        pieces = (self._rest + data).split(b"\n")
        self._rest = pieces.pop()
        yield from self._join(pieces)
        if len(self._rest) > MAX_RECORD_BYTES:
            yield RawRecord(self._rest[:4096], self._line, f"a record longer than {MAX_RECORD_BYTES} bytes")
            self._rest, self._skipping = b"", True

    def _join(self, pieces: list[bytes]) -> Iterator[RawRecord]:
        """Put lines together again whose newline stood inside quotes."""
        held: list[bytes] = []
        quotes = 0
        for piece in pieces:
            if self._skipping:  # the tail of a record that was given up
                self._skipping = False
                self._line += 1
                continue
            held.append(piece)
            if self._quote:
                quotes += piece.count(self._quote)
            if quotes % 2 == 0:
                yield RawRecord(b"\n".join(held).removesuffix(b"\r"), self._line)
                self._line += len(held)
                held, quotes = [], 0
        if held:
            self._rest = b"\n".join([*held, self._rest])

    def finish(self) -> Iterator[RawRecord]:
        """The last record, where the file does not end with a newline."""
        if self._wide is not None:
            self._rest += self._wide.decode(b"", final=True).encode()
        if self._rest and not self._skipping:
            is_open = bool(self._quote) and self._rest.count(self._quote) % 2 == 1
            fault = "the file ends inside a quoted field" if is_open else ""
            yield RawRecord(self._rest.removesuffix(b"\r"), self._line, fault)
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
