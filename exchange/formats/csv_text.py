"""CSV (RFC 4180, any one-byte delimiter) in any encoding; a row off the header's width goes to quarantine, alone."""

import csv
import io
from collections.abc import Iterable, Sequence

from core.records import BadRow, Rows
from core.schema import Dataset, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.lines import LineSplitter, RawRecord


class CsvDecoder:
    """See exchange.formats.decoder.Decoder. Without a header the columns stand in declared order."""

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion, *, columns: Sequence[str] = ()) -> None:
        self._form = form
        self._conversion = conversion
        self._splitter = LineSplitter(form.encoding, form.quote.encode(), form.delimiter.encode())
        declared = [] if form.header else [dataset.source_name(name) for name in dataset.given]
        self._columns = list(columns) or declared or None  # None: the next record is the header

    def feed(self, data: bytes) -> Converted:
        found = self._splitter.plain(data) if self._columns is not None else None
        if found is not None:
            return self._plain(*found)
        return self._take(list(self._splitter.feed(data)))

    def finish(self) -> Converted:
        return self._take(list(self._splitter.finish()))

    def _take(self, records: list[RawRecord]) -> Converted:
        records = [record for record in records if record.data or record.fault]
        if self._columns is None and records:
            self._columns = self._header(records.pop(0))
        if not records or self._columns is None:
            return Converted()
        return self._at_once(records) or self._one_by_one(records)

    def _plain(self, first: int, lines: list[bytes]) -> Converted:
        """Lines without a quote: nearly all of nearly every file."""
        whole = self._converted(b"\n".join(lines), len(lines) - lines.count(b"") - lines.count(b"\r"))
        if whole is not None:
            return whole
        return self._take([RawRecord(line.removesuffix(b"\r"), number) for number, line in enumerate(lines, first)])

    def _header(self, record: RawRecord) -> list[str]:
        return [name.strip() for name in self._parse([self._splitter.text(record)])[0]]

    def _parse(self, lines: Iterable[str]) -> list[list[str]]:
        form = self._form
        return list(csv.reader(lines, delimiter=form.delimiter, quotechar=form.quote, strict=True))

    def _at_once(self, records: list[RawRecord]) -> Converted | None:
        """All records by one decode and one parse, or None where one of them has something wrong with it."""
        if any(record.fault for record in records):
            return None
        return self._converted(b"\n".join(record.data for record in records), len(records))

    def _converted(self, data: bytes, count: int) -> Converted | None:
        assert self._columns is not None
        try:
            text = data.decode(self._splitter.encoding)
            rows = list(filter(None, self._parse(io.StringIO(text, newline=""))))  # a blank line is no row
        except (UnicodeDecodeError, csv.Error):
            return None
        if len(rows) != count or "\ufffd" in text or not set(map(len, rows)) <= {len(self._columns)}:
            return None
        result = self._conversion.rows(Rows(self._columns, rows))
        return None if result.bad else result

    def _one_by_one(self, records: list[RawRecord]) -> Converted:
        assert self._columns is not None
        result = Converted()
        for record in records:
            place = f"line {record.line}"
            try:
                rows = self._parse(io.StringIO(self._splitter.text(record), newline=""))
            except (ValueError, csv.Error) as error:
                result.bad.extend(self._bad(record, error))
                continue
            converted = self._conversion.rows(Rows(self._columns, rows))
            result.rows.extend(converted.rows)
            result.bad.extend(BadRow(bad.reason, place, self._splitter.original(record.data), bad.columns) for bad in converted.bad)
        return result

    def _bad(self, record: RawRecord, error: Exception) -> list[BadRow]:
        """Behind a quote that nothing closes each line is kept by itself: whole rows follow it, as a rule."""
        assert self._columns is not None
        lines = record.data.split(b"\n") if record.is_open else [record.data]
        reason = f"{error} (the quote opened in line {record.line} is not closed)" if record.is_open else str(error)
        kept = [self._splitter.original(line.removesuffix(b"\r") if record.is_open else line) for line in lines]
        columns = tuple(self._columns)
        return [BadRow(reason, f"line {number}", raw, columns) for number, raw in enumerate(kept, record.line)]
