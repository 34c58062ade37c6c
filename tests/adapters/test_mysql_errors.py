"""Error numbers of MySQL and MariaDB in the platform's terms."""

import pytest

from adapters.mysql_errors import platform_error
from core.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)


@pytest.mark.parametrize(
    ("number", "is_connecting", "kind"),
    [
        (1045, True, Unauthenticated),
        (1049, True, NotFound),
        (1146, False, NotFound),
        (1142, False, Forbidden),
        (2003, True, NotConnected),
        (1040, True, NotConnected),
        (2013, True, NotConnected),
        (2013, False, Unavailable),
        (1213, False, Unavailable),
        (1969, False, DeadlineExceeded),
        (1062, False, InvalidInput),
        (9999, False, Unavailable),
    ],
)
def test_a_failure_is_classed_by_its_number(number: int, is_connecting: bool, kind: type[PlatformError]) -> None:
    error = platform_error((number, "words of the server"), "MySQL db:3306", is_connecting=is_connecting)
    assert type(error) is kind
    assert error.detail == f"MySQL db:3306: words of the server ({number})"


def test_a_broken_connection_can_be_told_from_a_failed_statement() -> None:
    assert platform_error((2006, "gone away"), "x").specific_code == "connection_lost"
    assert platform_error((1213, "deadlock"), "x").specific_code == "unavailable"


def test_errors_without_number_or_words_still_say_something() -> None:
    assert platform_error(("Not connected",), "x").detail == "x: Not connected (-1)"
    assert platform_error((0, ""), "x").detail == "x: the connection was lost (0)"
