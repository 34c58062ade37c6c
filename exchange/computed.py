"""Fields that are computed from the others of their record, by the expressions that the dataset declares."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from core.expression import Expression
from core.schema import Dataset, Record, Value
from exchange.values import Converter, converter


class Computed:
    """False where the dataset has none. Decimals stand in expressions as such; dates and moments as their text."""

    def __init__(self, dataset: Dataset) -> None:
        self._columns = dataset.columns
        self._by_name: dict[str, tuple[Expression, Converter]] = {}
        for name in self._columns:
            field = dataset.field(name)
            if field.expression is not None:
                self._by_name[name] = (Expression(field.expression), converter(field))
        self._reads: dict[str, Callable[[Any], Any]] = {
            name: Decimal for name in dataset.given if dataset.field(name).type == "decimal"
        }

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def row(self, record: Record) -> list[Value]:
        """All fields in the dataset's order. ValueError names the field that could not be computed."""
        names = {
            name: self._reads[name](value) if name in self._reads and value is not None else value for name, value in record.items()
        }
        return [record[name] if name in record else self._one(name, names) for name in self._columns]

    def _one(self, name: str, names: dict[str, Any]) -> Value:
        expression, convert = self._by_name[name]
        try:
            return convert(expression(names))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name}: {error}") from None
