"""Rows → converted rows in the declared order; the bad ones with reason, place and bytes, the good ones beside them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.records import Rows
from core.schema import Dataset, Field, Value
from exchange.conversion import Conversion

PEOPLE = Dataset(
    object="Customer",
    key=("id",),
    fields={"id": Field("integer", source="CustomerID"), "name": Field(required=True), "vip": "boolean", "at": "datetime"},
    cursor="at",
)
COLUMNS = ("name", "vip", "CustomerID", "at")


@pytest.mark.req("0.03")
def test_a_batch_with_bad_rows_keeps_the_good_ones() -> None:
    rows = [("a", "1", "1", None), ("b", "maybe", "2", None), ("", 1, 3, None), ("d", 1, None, None), ("e", 0, "5")]
    converted = Conversion(PEOPLE).rows(Rows(COLUMNS, rows), first=11)
    assert [list(row) for row in converted.rows] == [[1, "a", True, None]]
    assert [(bad.place, bad.reason) for bad in converted.bad] == [
        ("row 12", "vip: expected a boolean, got 'maybe'"),
        ("row 13", "name: a value is required"),
        ("row 14", "id: the key is missing"),
        ("row 15", "3 values where 4 were expected"),
    ]
    assert converted.bad[0].raw == b'["b","maybe","2",null]'
    assert {bad.columns for bad in converted.bad} == {COLUMNS}


@pytest.mark.req("0.03")
def test_a_column_that_is_missing_is_the_declarations_fault() -> None:
    with pytest.raises(InvalidInput, match="Customer has no column CustomerID, at; it has name, vip"):
        Conversion(PEOPLE).rows(Rows(("name", "vip"), []))


def test_the_cursor_is_the_greatest_value_of_its_field() -> None:
    conversion = Conversion(PEOPLE)
    rows: list[list[Value]] = [[1, "a", None, "2024-05-10T08:30:00"], [2, "b", None, None], [3, "c", None, "2024-05-10T08:30:00.5"]]
    assert conversion.cursor(rows) == {"value": "2024-05-10T08:30:00.5"}
    assert conversion.cursor([rows[1]]) is None
    assert conversion.cursor([]) is None
    numbered = Conversion(Dataset(object="o", key=("n",), fields={"n": "decimal"}, cursor="n"))
    assert numbered.cursor([["9.5"], ["10"], ["-100"]]) == {"value": "10"}


_VALUES = st.one_of(st.none(), st.text(max_size=4), st.integers(), st.floats(), st.booleans(), st.binary(max_size=3))


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(_VALUES, _VALUES, _VALUES, _VALUES), max_size=6))
def test_a_batch_and_its_rows_one_by_one_come_to_the_same(rows: list[tuple[object, ...]]) -> None:
    conversion = Conversion(PEOPLE)
    together = conversion.rows(Rows(COLUMNS, rows))
    alone = [conversion.rows(Rows(COLUMNS, [row]), first=number) for number, row in enumerate(rows, 1)]
    assert [list(row) for row in together.rows] == [list(row) for one in alone for row in one.rows]
    assert together.bad == [bad for one in alone for bad in one.bad]
    assert len(together.rows) + len(together.bad) == len(rows)
