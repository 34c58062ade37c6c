"""Fixed-width records: fields by byte widths, one record a line or a message. Widths count bytes, as such systems do."""

from core.errors import ConfigError
from core.records import BadRow, Rows
from core.schema import Dataset, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.lines import LineSplitter, RawRecord


class FixedWidthDecoder:
    """See exchange.formats.decoder.Decoder. Padding (blanks on either side) is taken off each field."""

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion) -> None:
        self._conversion = conversion
        self._splitter = LineSplitter(form.encoding)
        self._columns = [dataset.source_name(name) for name in dataset.given]
        self._spans: list[tuple[int, int]] = []
        start = 0
        for name in dataset.given:
            width = dataset.field(name).width
            if width is None:
                raise ConfigError(f"dataset {dataset.object}: field {name} needs a `width` in bytes")
            self._spans.append((start, start + width))
            start += width
        self._length = start

    def feed(self, data: bytes) -> Converted:
        return self._take(list(self._splitter.feed(data)))

    def finish(self) -> Converted:
        return self._take(list(self._splitter.finish()))

    def _take(self, records: list[RawRecord]) -> Converted:
        result = Converted()
        for record in records:
            if not record.data and not record.fault:
                continue
            try:
                row = self._fields(record)
            except ValueError as error:
                result.bad.append(BadRow(str(error), f"line {record.line}", self._splitter.original(record.data)))
                continue
            converted = self._conversion.rows(Rows(self._columns, [row]))
            result.rows.extend(converted.rows)
            result.bad.extend(
                BadRow(bad.reason, f"line {record.line}", self._splitter.original(record.data)) for bad in converted.bad
            )
        return result

    def _fields(self, record: RawRecord) -> list[str]:
        if not record.fault and len(record.data) != self._length:
            raise ValueError(f"{len(record.data)} bytes where {self._length} were expected")
        data = record.data
        pieces = [RawRecord(data[start:end], record.line, record.fault) for start, end in self._spans]
        return [self._splitter.text(piece).strip() for piece in pieces]
