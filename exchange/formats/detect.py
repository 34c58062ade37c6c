"""What a piece of a text file says about itself: encoding, delimiter, quote, header.

For a person to look at and then to declare: what a job reads it reads as declared, and guesses nothing.
"""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Sequence

from msgspec import Struct

from core.errors import InvalidInput

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = ",\t;|"
_QUOTES = "\"'"
_LINES = 200
_VALUE = re.compile(r"[+-]?\d[\d.,:/ T+-]*")  # numbers, dates, moments
# Of a double byte, the first byte that the more frequent half of the characters has (GB 2312 level 1, Big5 level 1).
_FREQUENT = {"gb18030": range(0xB0, 0xD8), "big5": range(0xA4, 0xC7)}


class Detected(Struct, frozen=True):
    """A proposal. `sure` is False where another encoding fits as well; `columns` are the header's names, or `column_1`, …"""

    encoding: str
    delimiter: str
    quote: str
    header: bool
    columns: tuple[str, ...]
    rows: list[list[str]]
    sure: bool


def detect(data: bytes) -> Detected:
    """From the beginning of a CSV file; its last line may be cut. InvalidInput where no encoding or no table fits."""
    encoding, sure = _encoding(data)
    text = codecs.getincrementaldecoder(encoding)("strict").decode(data)
    lines = text.splitlines(keepends=True)
    lines = (lines[:-1] if len(lines) > 1 else lines)[:_LINES]
    if not lines:
        raise InvalidInput("the file is empty")
    delimiter, quote, rows = _table(lines)
    header = _is_header(rows)
    columns = tuple(name.strip() for name in rows[0]) if header else tuple(f"column_{n}" for n in range(1, len(rows[0]) + 1))
    return Detected(encoding, delimiter, quote, header, columns, rows[header : header + 3], sure)


def _encoding(data: bytes) -> tuple[str, bool]:
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name, True
    zeros = data[:1000].count(0)
    if zeros > len(data[:1000]) // 8:
        return ("utf-16-le" if data[1:1000:2].count(0) >= data[:1000:2].count(0) else "utf-16-be"), True
    if _fits(data, "utf-8"):
        return "utf-8", True
    fitting = [name for name in _FREQUENT if _fits(data, name)]
    if not fitting:
        raise InvalidInput("the bytes are no text in UTF-8, UTF-16, GB18030 or Big5")
    fitting.sort(key=lambda name: _share(data, _FREQUENT[name]), reverse=True)
    shares = [_share(data, _FREQUENT[name]) for name in fitting]
    return fitting[0], len(fitting) == 1 or shares[0] - shares[1] > 0.1


def _fits(data: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(data)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _share(data: bytes, frequent: range) -> float:
    """Of the double bytes, how many begin as the frequent characters of the encoding do."""
    found = total = at = 0
    while at < len(data):
        if data[at] < 0x80:
            at += 1
            continue
        total += 1
        found += data[at] in frequent
        at += 2
    return found / total if total else 0.0


def _table(lines: Sequence[str]) -> tuple[str, str, list[list[str]]]:
    """The delimiter and quote that cut most lines into most columns, all alike and the first as well."""
    best: tuple[float, str, str, list[list[str]]] | None = None
    for delimiter, quote in itertools.product(_DELIMITERS, _QUOTES):
        try:
            found = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, quotechar=quote)
            rows = [row for row in found if row]
        except csv.Error:
            continue
        widths = [len(row) for row in rows]
        width = max(set(widths), key=widths.count, default=0)
        if width < 2 or widths[0] != width:
            continue
        # Quotes that are left in the values were not what protects them.
        left = sum(value[:1] in _QUOTES and value[-1:] == value[:1] for row in rows for value in row if len(value) > 1)
        score = widths.count(width) / len(rows) * min(width, 50) - left / len(rows)
        if best is None or score > best[0]:
            best = (score, delimiter, quote, [row for row in rows if len(row) == width])
    if best is None:
        raise InvalidInput("no delimiter of comma, tab, semicolon and bar cuts the lines into columns")
    return best[1:]


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Names: all there, all different, none a number or a date; and below at least one column where something is."""
    first, below = rows[0], rows[1:]
    if not all(name.strip() for name in first) or len(set(first)) < len(first) or any(map(_VALUE.fullmatch, first)):
        return False
    return (
        not below
        or any(_VALUE.fullmatch(value.strip()) for row in below for value in row)
        or all(name not in {row[at] for row in below} for at, name in enumerate(first))
    )
