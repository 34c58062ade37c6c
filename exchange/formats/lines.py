"""Bytes in pieces → whole records by line, before they are decoded: one undecodable byte spoils one record, not the file.

Splitting bytes is safe in UTF-8, GBK, GB18030 and Big5: none of their trailing bytes is a newline, a comma or a quote.
UTF-16 is not like that and is turned into UTF-8 first. How the bytes are cut into pieces makes no difference.
"""

import codecs
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

MAX_RECORD_BYTES = 1 << 20
KEPT_BYTES = 65_536  # of a record that is too long
_BOM = {"utf-8": codecs.BOM_UTF8, "utf-8-sig": codecs.BOM_UTF8, "gb18030": "\ufeff".encode("gb18030")}
_NO_TEXT = "zhiyun.no-text"
_NO_TEXT_RUN = re.compile("([\udc00-\udcff]+)")
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


def _as_lone_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no text as U+DC00 to U+DCFF, which no text holds: they can be told apart, and turned back (after PEP 383)."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_NO_TEXT, _as_lone_surrogates)


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
        self._wide = codecs.getincrementaldecoder(encoding)(_NO_TEXT) if name in _WIDE else None
        self._encoding = encoding
        self._headless = f"{name}-{sys.byteorder[:1]}e" if name in ("utf-16", "utf-32") else name  # without a byte order mark
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
    def encoding(self) -> str:
        """The encoding of the records, which is not always the file's own."""
        return "utf-8" if self._wide else self._encoding

    def original(self, data: bytes) -> bytes:
        """A record's bytes as they stood in the file, so that a replay reads them as the file was read."""
        if not self._wide:
            return data
        pieces = _NO_TEXT_RUN.split(data.decode("utf-8", "surrogatepass"))
        texts = [piece.encode(self._encoding if at == 0 else self._headless) for at, piece in enumerate(pieces[::2])]
        wrong = [bytes(ord(byte) - 0xDC00 for byte in piece) for piece in pieces[1::2]]
        return b"".join(text + gap for text, gap in zip_longest(texts, wrong, fillvalue=b""))

    def text(self, record: RawRecord) -> str:
        """The record's text. ValueError says which bytes at which offset of the record are no text in the file's encoding."""
        if record.fault:
            raise ValueError(record.fault)
        try:
            text = record.data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise ValueError(self._no_text(record.data, error)) from None
        if "\ufffd" in text:
            raise ValueError(f"the character U+FFFD at character {text.index(chr(0xFFFD))}: the sender lost what stood there")
        return text

    def _no_text(self, data: bytes, error: UnicodeDecodeError) -> str:
        offset, wrong = error.start, data[error.start : error.end]
        if self._wide:
            run = _NO_TEXT_RUN.search(data.decode("utf-8", "surrogatepass"))
            assert run is not None
            offset = len(run.string[: run.start()].encode(self._headless))
            wrong = bytes(ord(byte) - 0xDC00 for byte in run[0])
        return f"byte {wrong.hex(' ')} at offset {offset} is no {self._encoding} text"

    def plain(self, data: bytes) -> tuple[int, list[bytes]] | None:
        """Where none of the lines needs a closer look, the number of the first and all that are whole now, each with its carriage
        return. Else None: nothing was taken, and `feed` has to."""
        if self._wide or self._bom or self._held or self._is_skipping or (self._quote and self._quote in self._rest + data):
            return None
        *lines, rest = (self._rest + data).split(b"\n")
        if max(map(len, lines), default=0) > MAX_RECORD_BYTES or len(rest) > MAX_RECORD_BYTES:
            return None
        first, self._line, self._rest = self._line, self._line + len(lines), rest
        return first, lines

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Whole records in what has come so far."""
        if self._wide is not None:
            data = self._wide.decode(data).encode("utf-8", "surrogatepass")
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
        kept = min(len(line), KEPT_BYTES)
        while self._wide and kept < len(line) and line[kept] & 0xC0 == 0x80:  # not in the middle of a character
            kept -= 1
        yield RawRecord(line[:kept], self._line, f"a record longer than {MAX_RECORD_BYTES} bytes")

    def _release(self) -> Iterator[RawRecord]:
        if self._held:
            yield RawRecord(b"\n".join(self._held).removesuffix(b"\r"), self._line, is_open=self._is_open)
        self._line += len(self._held)
        self._held, self._held_bytes, self._is_open = [], 0, False

    def finish(self) -> Iterator[RawRecord]:
        """The last record, where the file does not end with a newline, or ends inside a quoted field."""
        if self._wide is not None:
            self._rest += self._wide.decode(b"", final=True).encode("utf-8", "surrogatepass")
        if self._rest and not self._is_skipping:
            yield from self._take(self._rest)
        yield from self._release()
        self._rest = b""
