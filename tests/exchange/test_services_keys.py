"""Keys, filters and cursors of URLs ↔ canonical values."""

import pytest

from core.errors import InvalidInput
from core.schema import Dataset
from exchange.services.keys import page_cursor, parse_filters, parse_key, parse_page_cursor

ROOMS = Dataset(object="r", key=("building", "room"), fields={"building": "text", "room": "integer", "free": "boolean"})


def test_a_compound_key_is_joined_by_tildes() -> None:
    assert parse_key(ROOMS, "楼~101") == {"building": "楼", "room": 101}
    for wrong in ("楼", "楼~", "~101", "a~1~2", "a~ ", "a~x"):
        with pytest.raises(InvalidInput, match="room"):
            parse_key(ROOMS, wrong)


def test_a_cursor_gives_the_key_back() -> None:
    assert parse_page_cursor(ROOMS, page_cursor(ROOMS, {"building": "楼~/?", "room": 7})) == ["楼~/?", 7]


def test_filters_are_typed_and_given_once() -> None:
    assert parse_filters(ROOMS, ("free",), [("free", "yes")]) == {"free": True}
    with pytest.raises(InvalidInput, match="given twice"):
        parse_filters(ROOMS, ("free",), [("free", "1"), ("free", "0")])
    with pytest.raises(InvalidInput, match="offers: none"):
        parse_filters(ROOMS, (), [("free", "1")])
