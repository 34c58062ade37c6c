"""What a backfill asks of the source: enough to make each of its fields, and no more."""

from core.records import Rows
from core.schema import Dataset, Field
from exchange.backfill import part_of
from exchange.conversion import Conversion

_SALES = Dataset(
    object="Sale",
    key=("id",),
    fields={
        "id": "integer",
        "price": "decimal",
        "count": Field(type="integer", source="Anzahl"),
        "note": "text",
        "total": Field(type="decimal", expression="price * count"),
    },
)


def test_a_computed_field_comes_with_what_it_is_made_of() -> None:
    part = part_of(_SALES, ("total",))
    assert part.read_columns == ("id", "price", "Anzahl")
    converted = Conversion(part).rows(Rows(part.read_columns, [[1, "2.50", 3]]))
    assert converted.bad == []
    assert dict(zip(part.columns, converted.rows[0], strict=True)) == {"id": 1, "price": "2.50", "count": 3, "total": "7.50"}


def test_another_field_comes_with_the_key_alone() -> None:
    assert part_of(_SALES, ("note",)).columns == ("id", "note")
