"""Excel workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods) by calamine: one sheet, its first row the header. A file that is none is one
bad row. Calamine gives a cell with an error (#DIV/0!) as an empty one."""

import io
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from core.records import Rows
from core.schema import Dataset, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.documents import WholeDocument

_BATCH_ROWS = 2_000
_MAX_EXACT = 2**53  # a double holds every whole number up to here


class WorkbookDecoder:
    """See exchange.formats.decoder.Decoder. Without a header the columns stand in declared order."""

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion) -> None:
        self._form = form
        self._conversion = conversion
        self._columns = [] if form.header else [dataset.source_name(name) for name in dataset.columns]
        self._document = WholeDocument()

    def feed(self, data: bytes) -> Converted:
        self._document.add(data)
        return Converted()

    def finish(self) -> Converted:
        try:
            return self._rows(self._document.data())
        except ValueError as error:
            return self._document.bad(error)

    def _rows(self, data: bytes) -> Converted:
        from python_calamine import CalamineError, CalamineWorkbook

        result = Converted()
        try:
            workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
            name = self._form.sheet or workbook.sheet_names[0]
            if name not in workbook.sheet_names:
                raise ValueError(f"there is no sheet {name!r}; there are {', '.join(workbook.sheet_names)}")
            rows = iter(workbook.get_sheet_by_name(name).iter_rows())
            columns, number = list(self._columns), 1
            if not columns:
                columns, number = [str(value).strip() for value in next(rows, [])], 2
            batch: list[Sequence[Any]] = []
            for row in rows:
                if any(value != "" for value in row):
                    batch.append([_plain(value) for value in row])
                else:  # an empty line says nothing, but is counted
                    result.extend(self._converted(columns, batch, number))
                    number += len(batch) + 1
                    batch = []
                if len(batch) == _BATCH_ROWS:
                    result.extend(self._converted(columns, batch, number))
                    number += len(batch)
                    batch = []
            result.extend(self._converted(columns, batch, number))
        except CalamineError as error:
            raise ValueError(f"no workbook that can be read: {' '.join(str(error).split())[:200]}") from None
        return result

    def _converted(self, columns: list[str], rows: list[Sequence[Any]], first: int) -> Converted:
        width = len(columns)
        even = [[*row, *[None] * (width - len(row))] for row in rows]  # cells that were never touched are not stored
        return self._conversion.rows(Rows(columns, even), place="line", first=first)


def _plain(value: Any) -> Any:
    """A cell's value as other sources give it: Excel keeps every number as a double and every blank as nothing."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds" if value.microsecond else "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return None if value == "" else value
