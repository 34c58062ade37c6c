"""What every format does, and the choice of one by a dataset's `format`."""

from collections.abc import Callable, Sequence
from typing import Protocol

from core.errors import ConfigError
from core.schema import Dataset, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.csv_text import CsvDecoder
from exchange.formats.documents import JsonDecoder, JsonLinesDecoder, XmlDecoder
from exchange.formats.fixed_width import FixedWidthDecoder
from exchange.formats.packed import GzipDecoder, ZipDecoder
from exchange.formats.workbook import WorkbookDecoder


class Decoder(Protocol):
    """Turns the bytes of one file, or of one message, into converted rows. Used once, in order, by one task.

    Memory is bounded: a record or document beyond the format's limit is bad, never kept growing.
    """

    def feed(self, data: bytes) -> Converted:
        """Take the next piece and give the rows that are complete."""
        ...

    def finish(self) -> Converted:
        """The file has ended: give what is left; an unfinished record is bad."""
        ...


def decoder_for(dataset: Dataset, conversion: Conversion, *, columns: Sequence[str] = ()) -> Decoder:
    """A fresh decoder for one file or message. ConfigError where the dataset declares no format.

    `columns`: the header that a piece of a CSV file has lost.
    """
    if dataset.format is None:
        raise ConfigError(f"dataset {dataset.object}: its source gives raw bytes, so it needs a `format`")
    if dataset.format.compression == "gzip":
        return GzipDecoder(_plain(dataset, dataset.format, conversion, columns))
    if dataset.format.compression == "zip":
        form = dataset.format
        return ZipDecoder(form.members, lambda: _plain(dataset, form, conversion, ()))
    return _plain(dataset, dataset.format, conversion, columns)


def _plain(dataset: Dataset, form: Format, conversion: Conversion, columns: Sequence[str]) -> Decoder:
    """For what is not packed."""
    if form.type == "csv":
        return CsvDecoder(dataset, form, conversion, columns=columns)
    kinds: dict[str, Callable[[Dataset, Format, Conversion], Decoder]] = {
        "fixed_width": FixedWidthDecoder,
        "json": JsonDecoder,
        "json_lines": JsonLinesDecoder,
        "xml": XmlDecoder,
        "excel": WorkbookDecoder,
    }
    return kinds[form.type](dataset, form, conversion)
