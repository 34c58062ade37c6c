"""The SQL that the relational adapters share: built for one dataset in one dialect, parameters always bound.

A full load is in the order of the key, which the source need not sort for; an increment in the order (cursor field, key …), NULL
first, so that the pair of a row says exactly what came before it. `sql_reading` tells the forms of a cursor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from adapters.sql_values import has_offset, json_safe, to_compare, to_driver
from core.errors import InvalidInput
from core.records import Cursor
from core.schema import Dataset, Record, Value

_MAX_PREPARED = 1_024


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the databases differ in text.

    `doubled` characters are doubled within a quoted identifier; `datetime_placeholder` takes the text of a date-time that is to be
    stored; `write_hint` stands behind the table's name where an upsert looks for the row; `nulls_first` behind a cursor
    field that is ordered by, where NULL would come last.
    """

    opening: str
    closing: str
    doubled: str
    placeholder: str
    datetime_placeholder: str
    count: str
    write_hint: str = ""
    nulls_first: str = ""

    def quote(self, identifier: str) -> str:
        """The identifier, safely quoted; any name is allowed."""
        for character in self.doubled:
            identifier = identifier.replace(character, character * 2)
        return f"{self.opening}{identifier}{self.closing}"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text with its parameters in order."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def __add__(self, other: "Statement") -> "Statement":
        return Statement(self.sql + other.sql, self.parameters + other.parameters)


class Statements:
    """The statements for one dataset. `default_schema` stands before an object that names none ("" for none). Kept by `Prepared`:
    what does not change from call to call is made once."""

    def __init__(self, dialect: Dialect, dataset: Dataset, default_schema: str = "") -> None:
        self._dialect = dialect
        self._dataset = dataset
        parts = dataset.object.split(".")
        if default_schema and len(parts) == 1:
            parts.insert(0, default_schema)
        self._table = ".".join(dialect.quote(part) for part in parts)
        self._order = _order(dataset)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The source's column names, in the order of the dataset's fields."""
        return tuple(self._dataset.source_name(name) for name in self._dataset.given)

    def load(self) -> Statement:
        """Every row in the order of the key: how a full load begins."""
        return self._select(self._listed) + self._ordered(self._dataset.key)

    def highest(self) -> Statement | None:
        """The greatest value of the cursor field, NULL where no row has one; None for a dataset without cursor field."""
        return None if self._dataset.cursor is None else self._select(f"MAX({self._column(self._dataset.cursor)})")

    def read(self, cursor: Cursor | None) -> Statement:
        """Every row behind the cursor, in order: of the key while a full load is under way, else (cursor field, key …)."""
        names = self._order if cursor is None or "full" not in cursor else self._dataset.key
        return self._select(self._listed) + self._behind(cursor) + self._ordered(names)

    def count(self, cursor: Cursor | None) -> Statement:
        """How many rows `read` would give."""
        return self._select(self._dialect.count) + self._behind(cursor)

    def fetch(self, key: Mapping[str, Value]) -> Statement:
        return self._select(self._listed) + self._where(key)

    def lock(self, key: Mapping[str, Value]) -> Statement:
        """Count the rows with this key and, in a transaction, keep others from making one."""
        return Statement(f"SELECT {self._dialect.count} FROM {self._table}{self._dialect.write_hint}") + self._where(key)  # noqa: S608

    def update(self, key: Mapping[str, Value], changes: Record) -> Statement:
        """Set the changed fields; `changes` is not empty."""
        settings = ", ".join(f"{self._column(name)} = {self._mark(name, value)}" for name, value in changes.items())
        head = f"UPDATE {self._table}{self._dialect.write_hint} SET {settings}"  # noqa: S608
        return Statement(head, self._bound(changes)) + self._where(key)

    def insert(self, key: Mapping[str, Value], changes: Record) -> Statement:
        given = {**key, **changes}
        names = ", ".join(self._column(name) for name in given)
        marks = ", ".join(self._mark(name, value) for name, value in given.items())
        return Statement(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", self._bound(given))  # noqa: S608

    def delete(self, key: Mapping[str, Value]) -> Statement:
        return Statement(f"DELETE FROM {self._table}") + self._where(key)  # noqa: S608

    def cursor_of(self, row: Sequence[Any]) -> Cursor:
        """Where reading may resume after this row of `read`."""
        cursor: Cursor = {} if self._dataset.cursor is None else {"cursor": self._value(row, self._dataset.cursor)}
        return cursor | {"key": self.key_of(row)}

    def key_of(self, row: Sequence[Any]) -> list[Value]:
        """The key of a row of `load` or `read`, JSON-safe and exact."""
        return [self._value(row, name) for name in self._dataset.key]

    def _value(self, row: Sequence[Any], name: str) -> Value:
        return json_safe(row[self._dataset.given.index(name)])

    def _select(self, what: str) -> Statement:
        return Statement(f"SELECT {what} FROM {self._table}")  # noqa: S608 - names are quoted, values are bound

    def _ordered(self, names: Sequence[str]) -> Statement:
        return Statement(" ORDER BY " + ", ".join(self._column(name) + self._nulls(name) for name in names))

    def _nulls(self, name: str) -> str:
        """A key has none: its order stays that of its index."""
        return "" if name in self._dataset.key else self._dialect.nulls_first

    @cached_property
    def _listed(self) -> str:
        return ", ".join(self._column(name) for name in self._dataset.given)

    def _column(self, name: str) -> str:
        return self._dialect.quote(self._dataset.source_name(name))

    def _mark(self, name: str, value: Value) -> str:
        is_local_moment = self._dataset.field(name).type == "datetime" and value is not None and not has_offset(value)
        return self._dialect.datetime_placeholder if is_local_moment else self._dialect.placeholder

    def _bound(self, values: Mapping[str, Value]) -> tuple[Any, ...]:
        return tuple(to_driver(value, self._dataset.field(name).type, name) for name, value in values.items())

    def _compared(self, name: str, operator: str, value: Value) -> Statement:
        bound = to_compare(value, self._dataset.field(name).type, name)
        return Statement(f"{self._column(name)} {operator} {self._dialect.placeholder}", (bound,))

    def _where(self, key: Mapping[str, Value]) -> Statement:
        if missing := [name for name in self._dataset.key if key.get(name) is None]:
            raise InvalidInput(f"key of {self._dataset.object}: {', '.join(missing)} is not given")
        return Statement(" WHERE ") + _joined([self._compared(name, "=", key[name]) for name in self._dataset.key], " AND ")

    def _behind(self, cursor: Cursor | None) -> Statement:
        if cursor is None:
            return Statement("")
        place = self._place(cursor)
        if cursor.get("key", ()) is not None:
            return Statement(" WHERE ") + self._after(place)
        ((name, value),) = place
        # NULL stands before all values: since NULL is everything, and `>= NULL` would be nothing.
        return Statement("") if value is None else Statement(" WHERE ") + self._compared(name, ">=", value)

    def _place(self, cursor: Cursor) -> list[tuple[str, Value]]:
        """Where the cursor stands: values of the key, of the cursor field, or of both, in the order of reading."""
        grows = self._dataset.cursor
        try:
            if grows is not None and "full" in cursor:
                key, _ = cursor["full"]["after"], cursor["full"]["high"]
                return list(zip(self._dataset.key, key, strict=True))
            if grows is not None and cursor["key"] is None:
                return [(grows, cursor["cursor"])]
            place = dict(zip(self._dataset.key, cursor["key"], strict=True))
            if grows is not None:
                place[grows] = cursor["cursor"]
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"the checkpoint {cursor!r:.200} does not fit the key and cursor of {self._dataset.object}; reset the job"
            ) from error
        return [(name, place[name]) for name in self._order]

    def _after(self, place: Sequence[tuple[str, Value]]) -> Statement:
        """The condition `(a, b, …) > (x, y, …)` in the form that an index on a serves, NULL sorted first."""
        (name, value), rest = place[0], place[1:]
        if value is None:
            same, later = Statement(f"{self._column(name)} IS NULL"), Statement(f"{self._column(name)} IS NOT NULL")
        else:
            same, later = self._compared(name, "=", value), self._compared(name, ">", value)
        if not rest:
            return later
        either = Statement("(") + later + Statement(" OR (") + same + Statement(" AND ") + self._after(rest) + Statement("))")
        return either if value is None else self._compared(name, ">=", value) + Statement(" AND ") + either


class Prepared:
    """The statements of the datasets that a connection is asked for, made once each. Raises what `make` raises."""

    def __init__(self, make: Callable[[Dataset], Statements]) -> None:
        self._make = make
        self._known: dict[int, tuple[Dataset, Statements]] = {}

    def of(self, dataset: Dataset) -> Statements:
        known = self._known.get(id(dataset))
        if known is None:
            if len(self._known) >= _MAX_PREPARED:
                self._known.clear()
            known = self._known[id(dataset)] = dataset, self._make(dataset)  # held, so that no other gets its id
        return known[1]


def _order(dataset: Dataset) -> tuple[str, ...]:
    first = () if dataset.cursor is None else (dataset.cursor,)
    names = (*first, *(name for name in dataset.key if name not in first))
    if undeclared := [name for name in names if name not in dataset.fields]:
        raise InvalidInput(f"dataset {dataset.object}: {', '.join(undeclared)} is in its key or cursor but not in its fields")
    return names


def _joined(parts: Sequence[Statement], word: str) -> Statement:
    return Statement(word.join(part.sql for part in parts), tuple(value for part in parts for value in part.parameters))
