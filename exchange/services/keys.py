"""Keys, filters and page cursors as they stand in URLs ↔ canonical values of a dataset."""

import base64
import binascii
from collections.abc import Mapping, Sequence

import msgspec

from core.errors import InvalidInput
from core.schema import Dataset, Value
from exchange.values import converter

_JOIN = "~"


def parse_value(dataset: Dataset, name: str, given: str) -> Value:
    """A query parameter as the field's type; InvalidInput names the field."""
    try:
        return converter(dataset.field(name))(given)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{name}: {error}") from None


def parse_key(dataset: Dataset, key: str) -> dict[str, Value]:
    """`{key}` of the path; parts of a compound key are joined by `~`."""
    parts = key.split(_JOIN) if len(dataset.key) > 1 else [key]
    if len(parts) != len(dataset.key) or not all(parts):
        raise InvalidInput(f"the key must be {_JOIN.join(dataset.key)}, got {key!r}")
    values = {name: parse_value(dataset, name, part) for name, part in zip(dataset.key, parts, strict=True)}
    if None in values.values():
        raise InvalidInput(f"the key must be {_JOIN.join(dataset.key)}, got {key!r}")
    return values


def parse_filters(dataset: Dataset, allowed: Sequence[str], given: Sequence[tuple[str, str]]) -> dict[str, Value]:
    """Equality filters. InvalidInput for one that the service does not offer, or that is given twice."""
    filters: dict[str, Value] = {}
    for name, value in given:
        if name not in allowed:
            offered = ", ".join(allowed) or "none"
            raise InvalidInput(f"unknown filter {name!r}; this service offers: {offered}", code="unknown_filter")
        if name in filters:
            raise InvalidInput(f"filter {name!r} is given twice")
        filters[name] = parse_value(dataset, name, value)
    return filters


def page_cursor(dataset: Dataset, record: Mapping[str, Value]) -> str:
    """Where the next page begins: the last record's key, opaque to the app."""
    return base64.urlsafe_b64encode(msgspec.json.encode([record[name] for name in dataset.key])).decode().rstrip("=")


def parse_page_cursor(dataset: Dataset, cursor: str) -> list[Value]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = msgspec.json.decode(raw, type=list[str | int])
    except (binascii.Error, ValueError):
        raise InvalidInput("cursor: not one that this service gave") from None
    if len(values) != len(dataset.key):
        raise InvalidInput("cursor: not one that this service gave")
    return list(values)
