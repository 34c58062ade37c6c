"""Foreign values → canonical ones, and what each refuses."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from core.schema import Field, FieldType
from exchange.values import converter

GOOD: list[tuple[FieldType, Any, Any]] = [
    ("text", "张三 ", "张三 "),
    ("text", Decimal("1E+3"), "1000"),
    ("text", date(2024, 5, 10), "2024-05-10"),
    ("text", 7, "7"),
    ("integer", " 42 ", 42),
    ("integer", 3.0, 3),
    ("integer", Decimal("-9223372036854775808"), -(2**63)),
    ("integer", Decimal("7.00"), 7),
    ("number", "1.5", 1.5),
    ("decimal", "0012.50", "12.50"),
    ("decimal", Decimal("1E+2"), "100"),
    ("decimal", 0.1, "0.1"),
    ("boolean", b"\x01", True),
    ("boolean", "否", False),
    ("boolean", 1, True),
    ("date", "2024-02-29 00:00:00", "2024-02-29"),
    ("date", datetime(2024, 2, 29, 23, 59), "2024-02-29"),
    ("date", "0000-00-00", None),
    ("datetime", "2024-05-10 08:30:00.123", "2024-05-10T08:30:00.123000"),
    ("datetime", "2024-05-10T08:30:00+00:00", "2024-05-10T08:30:00Z"),
    ("datetime", datetime(2024, 5, 10, 8, 30, tzinfo=UTC), "2024-05-10T08:30:00+00:00"),
    ("json", '{"a": [1, null]}', {"a": [1, None]}),
    ("json", [1, "x"], [1, "x"]),
    ("binary", b"\x00\xff", "AP8="),
    ("integer", "  ", None),
    ("text", "", ""),
]


@pytest.mark.parametrize(("kind", "given", "expected"), GOOD)
def test_a_value_of_the_type_is_taken(kind: FieldType, given: Any, expected: Any) -> None:
    assert converter(Field(kind))(given) == expected


BAD: list[tuple[FieldType, Any]] = [
    ("text", b"\xd5\xc5"),
    ("integer", "4.5"),
    ("integer", "四十"),
    ("integer", 2**63),
    ("integer", float("nan")),
    ("integer", Decimal("sNaN")),
    ("integer", Decimal("1E+40")),
    ("integer", Decimal("1E+999999")),
    ("number", "NaN"),
    ("number", "1e999"),
    ("decimal", "1,5"),
    ("decimal", "1E+1000000"),
    ("decimal", True),
    ("boolean", "maybe"),
    ("date", "2023-02-29"),
    ("date", "10/05/2024"),
    ("date", "2024-05-10 08:30:00"),
    ("datetime", "yesterday"),
    ("json", "{"),
    ("json", 10**30),
    ("json", "[" * 100_000),
    ("binary", "text"),
]


@pytest.mark.parametrize(("kind", "given"), BAD)
def test_a_value_that_is_none_is_refused_and_shown(kind: FieldType, given: Any) -> None:
    with pytest.raises((ValueError, OverflowError)) as refused:
        converter(Field(kind))(given)
    assert len(str(refused.value)) < 150


@pytest.mark.req("2.03")
def test_required_length_and_format_are_enforced() -> None:
    name = converter(Field("text", required=True, max_length=50))
    assert name("名" * 50) == "名" * 50
    with pytest.raises(ValueError, match=r"longer than 50 characters \(51\)"):
        name("名" * 51)
    for blank in (None, ""):
        with pytest.raises(ValueError, match="a value is required"):
            name(blank)
