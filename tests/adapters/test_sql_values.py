"""Canonical values to driver values and back."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sql_values import has_offset, json_safe, to_compare, to_driver
from core.errors import InvalidInput
from core.schema import FieldType, Value


@pytest.mark.parametrize(
    ("value", "kind", "bound"),
    [
        ("12.50", "decimal", Decimal("12.50")),
        (3, "decimal", Decimal(3)),
        ("2024-02-29", "date", date(2024, 2, 29)),
        ("2024-05-10T08:30:00.123", "datetime", "2024-05-10T08:30:00.123"),
        ("2024-05-10T08:30:00.120000", "datetime", "2024-05-10T08:30:00.120"),
        ("2024-05-10T08:30:00.000", "datetime", "2024-05-10T08:30:00"),
        ("2024-05-10T08:30:00+08:00", "datetime", "2024-05-10T08:30:00+08:00"),
        ("AAH/", "binary", b"\x00\x01\xff"),
        ({"甲": [1]}, "json", '{"甲":[1]}'),
        (2**63 - 1, "integer", 2**63 - 1),
        (True, "boolean", True),
        ("", "text", ""),
        (None, "decimal", None),
    ],
)
def test_a_canonical_value_becomes_what_the_column_takes(value: Value, kind: FieldType, bound: Any) -> None:
    assert to_driver(value, kind, "f") == bound


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(("x", "decimal"), ("Infinity", "decimal"), ("2023-02-29", "date"), ("yesterday", "datetime"), ("?", "binary")),
        *((2**63, "integer"), ("7", "integer"), ([1], "decimal")),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(value: Value, kind: FieldType) -> None:
    with pytest.raises(InvalidInput, match=f"field amount: .* is no {kind}"):
        to_driver(value, kind, "amount")


@given(st.datetimes() | st.dates() | st.decimals(allow_nan=False, allow_infinity=False) | st.binary() | st.integers() | st.text())
def test_a_cursor_value_comes_back_exactly(value: Any) -> None:
    kinds: dict[type, FieldType] = {Decimal: "decimal", bytes: "binary", date: "date", datetime: "datetime"}
    kind = kinds.get(type(value), "text")
    back = to_compare(json_safe(value), kind, "f")
    assert (datetime.fromisoformat(back) if kind == "datetime" else back) == value


def test_the_text_of_a_moment_has_no_digit_that_the_value_has_not() -> None:
    assert json_safe(datetime(2024, 5, 10, 8, 30, 0, 7000)) == "2024-05-10T08:30:00.007"
    assert json_safe(datetime(2024, 5, 10, 8, 30)) == "2024-05-10T08:30:00"
    assert json_safe(datetime(2024, 5, 10, 8, 30, 0, 7001)) == "2024-05-10T08:30:00.007001"
    assert json_safe(time(8, 30)) == "08:30:00"
    assert json_safe(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"


def test_an_offset_is_seen_and_a_day_is_none() -> None:
    assert has_offset("2024-05-10T08:30:00Z")
    assert has_offset("2024-05-10T08:30:00-03:30")
    assert not has_offset("2024-05-10T08:30:00.123")
    assert not has_offset("2024-05-10")
