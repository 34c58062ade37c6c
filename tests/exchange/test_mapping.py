"""What a source gives is mapped before its type is looked at; what can't be mapped is bad with its reason."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from core.records import Rows
from core.schema import Dataset, Field, Unit
from exchange.conversion import Conversion, Converted
from exchange.mapping import steps
from exchange.values import converter

SEX = {"1": "男", "2": "女"}


def mapped(field: Field, value: Any) -> Any:
    return converter(field, steps(field))(value)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (Field(trim=True, fold_width=True), "　１２３ＡＢｃ，张三 ", "123ABc,张三"),
        (Field(codes=SEX), 1, "男"),
        (Field(codes=SEX), "2 ", "女"),
        (Field(codes=SEX), None, None),
        (Field(codes=SEX, unknown_code="keep"), "9", "9"),
        (Field(codes=SEX, unknown_code="null"), "9", None),
        (Field(codes=SEX, unknown_code="null", default="未知"), "9", "未知"),
        (Field("integer", default=0), None, 0),
        (Field("integer", default=7), "", 7),
        (Field("decimal", unit=Unit("fen", "yuan")), 123456, "1234.56"),
        (Field("decimal", unit=Unit("fen", "yuan")), "100", "1"),
        (Field("decimal", unit=Unit("wan_yuan", "yuan")), Decimal("1.5"), "15000"),
        (Field("number", unit=Unit("fahrenheit", "celsius")), "212", 100.0),
        (Field("integer", unit=Unit("km", "m")), "1.5", 1500),
        (Field("decimal", unit=Unit("fen", "yuan")), " ", None),
        (Field("date", format=("%Y-%m-%d", "%d/%m/%Y", "%Y年%m月%d日")), "2024年05月10日", "2024-05-10"),
        (Field("date", format=("%Y-%m-%d", "%d/%m/%Y")), " 10/05/2024 ", "2024-05-10"),
        (Field("datetime", format="epoch"), 1715299200, "2024-05-10T00:00:00+00:00"),
        (Field("datetime", format="epoch_ms"), "1715299200123", "2024-05-10T00:00:00.123000+00:00"),
        (Field("datetime", format="%Y%m%d%H%M%S", timezone="Asia/Shanghai"), "20240510080000", "2024-05-10T08:00:00+08:00"),
        (Field("datetime", timezone="Asia/Shanghai"), "2024-05-10 08:00:00", "2024-05-10T08:00:00+08:00"),
        (Field("datetime", timezone="Asia/Shanghai"), "2024-05-10T08:00:00+02:00", "2024-05-10T08:00:00+02:00"),
        (Field("datetime", timezone="Asia/Shanghai"), datetime(2024, 5, 10, 8), "2024-05-10T08:00:00+08:00"),
        (Field("datetime", timezone="Asia/Shanghai"), None, None),
    ],
)
def test_a_value_is_mapped(field: Field, value: Any, expected: Any) -> None:
    assert mapped(field, value) == expected


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (Field(codes=SEX), "9", r"the code '9' is not in the table \(1, 2"),
        (Field("decimal", unit=Unit("fen", "yuan")), "much", "expected a number of fen, got 'much'"),
        (Field("decimal", unit=Unit("fen", "yuan")), "NaN", "expected a number of fen"),
        (Field("integer", unit=Unit("m", "km")), "1", "expected an integer"),
        (Field("date", format=("%Y-%m-%d", "%d/%m/%Y")), "May 10", "expected a date like %Y-%m-%d or %d/%m/%Y, got 'May 10'"),
        (Field("datetime", format="epoch"), "9" * 30, "expected a date and time like epoch"),
    ],
)
def test_what_cannot_be_mapped_says_why(field: Field, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        mapped(field, value)


ORDERS = Dataset(
    object="orders",
    key=("id",),
    fields={
        "id": "integer",
        "price": Field("decimal", source="PRICE"),
        "total": Field("decimal", expression="price * pieces"),
        "pieces": "integer",
        "size": Field(expression="'large' if price * pieces > 100 else 'small'", required=True),
    },
)


def converted(rows: list[list[Any]]) -> Converted:
    return Conversion(ORDERS).rows(Rows(("id", "pieces", "PRICE"), rows))


def test_computed_fields_stand_in_the_datasets_order_and_a_failure_spoils_its_row_alone() -> None:
    result = converted([[1, 3, "1.10"], [2, None, "1.00"], [3, 1000, Decimal("0.50")]])
    assert [list(row) for row in result.rows] == [[1, "1.10", "3.30", 3, "small"], [3, "0.50", "500.00", 1000, "large"]]
    (bad,) = result.bad
    assert bad.place == "row 2"
    assert bad.reason.startswith("total: the expression 'price * pieces' fails")
    assert ORDERS.given == ("id", "price", "pieces")
