"""Rows as a source gives them → converted rows in the dataset's order, and the bad ones with their reasons.

Whole columns are converted at once; only a batch with a bad value in it is gone through row by row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from core.errors import InvalidInput
from core.records import BadRow, Cursor, Rows
from core.schema import Dataset, Value
from exchange.columns import column_converter
from exchange.computed import Computed
from exchange.mapping import steps
from exchange.values import Converter, converter


@dataclass(slots=True)
class Converted:
    """`rows` follow `Dataset.columns`; `bad` keeps what could not be converted."""

    rows: list[Sequence[Value]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def extend(self, other: "Converted") -> None:
        self.rows.extend(other.rows)
        self.bad.extend(other.bad)


class Conversion:
    """The conversion of one dataset, made once when its job or service is loaded."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._columns = dataset.columns
        fields = [dataset.field(name) for name in dataset.given]
        self._converters: list[Converter] = [converter(each, steps(each)) for each in fields]
        self._column_converters = [column_converter(*each) for each in zip(fields, self._converters, strict=True)]
        self._given = dataset.given
        self._sources = [dataset.source_name(name) for name in self._given]
        self._computed = Computed(dataset)
        self._key = [self._columns.index(name) for name in dataset.key]
        self.header: Sequence[str] = ()  # the columns that the last batch came with

    def rows(self, payload: Rows, *, place: str = "row", first: int = 1) -> Converted:
        """Convert a batch. A row with another number of values, or without its key, is bad.

        InvalidInput when a column that the dataset declares is missing from the batch: that is the declaration's fault, and no row
        of it can be right.
        """
        self.header = payload.columns
        try:
            order = [payload.columns.index(source) for source in self._sources]
        except ValueError:
            missing = sorted(set(self._sources) - set(payload.columns))
            if self._dataset.drift == "quarantine":
                return self._all_bad(payload, f"the source has no column {', '.join(missing)} any more", place, first)
            found = ", ".join(payload.columns)
            raise InvalidInput(f"{self._dataset.object} has no column {', '.join(missing)}; it has {found}") from None
        if not payload.rows:
            return Converted()
        if self._computed:
            return self._by_row(payload, order, place, first)
        try:
            return Converted(rows=self._by_column(payload.rows, order, len(payload.columns)))
        except (ValueError, OverflowError):
            return self._by_row(payload, order, place, first)

    def _all_bad(self, payload: Rows, reason: str, place: str, first: int) -> Converted:
        columns = tuple(payload.columns)
        return Converted(
            bad=[BadRow(reason, f"{place} {number}", _raw(row), columns) for number, row in enumerate(payload.rows, first)]
        )

    def _by_column(self, rows: Sequence[Sequence[Any]], order: list[int], width: int) -> list[Sequence[Value]]:
        """All rows or a ValueError."""
        columns = list(zip(*rows, strict=True))
        if len(columns) != width:
            raise ValueError("another number of values")
        pairs = zip(order, self._column_converters, strict=True)
        converted = [convert(columns[position]) for position, convert in pairs]
        for position in self._key:
            if None in converted[position] or "" in converted[position]:
                raise ValueError("a key is missing")
        return list(zip(*converted, strict=True))

    def _by_row(self, payload: Rows, order: list[int], place: str, first: int) -> Converted:
        result = Converted()
        columns = tuple(payload.columns)
        for number, row in enumerate(payload.rows, first):
            try:
                result.rows.append(self.row(row, order, len(columns)))
            except (ValueError, OverflowError) as error:
                result.bad.append(BadRow(str(error), f"{place} {number}", _raw(row), columns))
        return result

    def row(self, row: Sequence[Any], order: Sequence[int], width: int) -> list[Value]:
        """One row; ValueError names the field."""
        if len(row) != width:
            raise ValueError(f"{len(row)} values where {width} were expected")
        values: list[Value] = []
        for name, position, convert in zip(self._given, order, self._converters, strict=True):
            try:
                values.append(convert(row[position]))
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{name}: {error}") from None
        if self._computed:
            values = self._computed.row(dict(zip(self._given, values, strict=True)))
        for position in self._key:
            if values[position] is None or values[position] == "":
                raise ValueError(f"{self._columns[position]}: the key is missing")
        return values

    @property
    def sources(self) -> tuple[str, ...]:
        """What the source calls the fields that it gives, in the dataset's order."""
        return tuple(self._sources)

    def named(self, records: Iterable[dict[str, Any]]) -> Rows:
        """Records by the source's names (JSON, XML) as rows; a name that a record lacks is null."""
        return Rows(self._sources, [[record.get(source) for source in self._sources] for record in records])

    def cursor(self, rows: Sequence[Sequence[Value]]) -> Cursor | None:
        """Where a read may go on after these rows, from the dataset's cursor field: its greatest value."""
        if self._dataset.cursor is None or not rows:
            return None
        position = self._columns.index(self._dataset.cursor)
        values = [row[position] for row in rows if row[position] is not None]
        is_number = self._dataset.field(self._dataset.cursor).type in ("integer", "number", "decimal")
        order = (lambda value: Decimal(str(value))) if is_number else str
        return {"value": max(values, key=order)} if values else None


def _raw(row: Sequence[Any]) -> bytes:
    """A row's values as JSON: what an operator sees of a row that never was bytes."""
    return msgspec.json.encode(list(row), enc_hook=repr)
