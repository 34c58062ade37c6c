"""A column at once gives what its values one by one give, or leaves it to them."""

import contextlib
import math
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from core.schema import Field, FieldType
from exchange.columns import column_converter
from exchange.values import converter

_PLAIN = (
    st.integers(-(10**20), 10**20)
    | st.floats()
    | st.decimals()
    | st.booleans()
    | st.none()
    | st.dates()
    | st.datetimes()
    | st.text()
)
_MOMENTS = st.datetimes().map(lambda at: at.isoformat(sep=" ")) | st.datetimes().map(
    lambda at: at.isoformat(timespec="milliseconds")
)
_TEXTS = st.sampled_from(
    [
        *("0", "1", "-1", "+7", "00012", "1_0", "١", "1e3", "1e999", "nan", "inf", "0.10", ".5", "5.", "true", "FALSE", "是", "否"),
        *(
            "2024-02-29",
            "2023-02-29",
            "0000-00-00",
            "24:00:00",
            "1,2",
            "",
            " 1",
            "2024-05-10 23:59:59.120000",
            "2024-05-10 24:00:00",
        ),
        *("2024-13-10 00:00:00", "2024-05-10T08:00:00+08:00", "2024-05-10 08:00:00.000", "2024-05-10 08:00:00.1234567"),
        *("2024-05-10T08:00:00Z", "2024-05-10 08:00"),
    ]
)
_COLUMNS = (
    st.lists(_PLAIN, min_size=1, max_size=8)
    | st.lists(_TEXTS, min_size=1, max_size=8)
    | st.lists(_MOMENTS, min_size=1, max_size=8)
    | st.lists(st.integers(-(2**64), 2**64).map(str), min_size=1, max_size=8)
    | st.lists(st.floats(allow_nan=False).map(repr), min_size=1, max_size=8)
)


def _outcome(convert: Any) -> tuple[str, Any]:
    try:
        return "values", [(type(value), value) for value in convert()]
    except (ValueError, OverflowError) as error:
        return "error", type(error)


@given(st.sampled_from([kind for kind in get_args(FieldType) if kind != "binary"]), _COLUMNS)
def test_a_column_at_once_is_its_values_one_by_one(kind: FieldType, values: Sequence[Any]) -> None:
    field = Field(kind)
    one = converter(field)
    assert _outcome(lambda: column_converter(field, one)(values)) == _outcome(lambda: [one(value) for value in values])


def test_what_drivers_give_is_converted_without_looking_at_single_values() -> None:
    def never(_: Any) -> Any:
        raise AssertionError("looked at a single value")

    columns: list[tuple[FieldType, Sequence[Any], Sequence[Any]]] = [
        ("integer", ["1", "-2"], [1, -2]),
        ("number", ["1.5", "-2e3"], [1.5, -2000.0]),
        ("boolean", ["0", "1", "是"], [False, True, True]),
        ("datetime", ["2024-02-29 08:00:00.120", "2024-05-10T00:00:00.000"], ["2024-02-29T08:00:00.120000", "2024-05-10T00:00:00"]),
        ("decimal", [Decimal("1.10")], ["1.10"]),
        ("date", [date(2024, 5, 10)], ["2024-05-10"]),
        ("datetime", [datetime(2024, 5, 10), None], ["2024-05-10T00:00:00", None]),
    ]
    for kind, values, expected in columns:
        assert list(column_converter(Field(kind), never)(values)) == expected
    with contextlib.suppress(AssertionError):
        column_converter(Field("number"), never)([math.inf])
        raise RuntimeError("infinity was taken")
