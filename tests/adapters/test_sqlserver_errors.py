"""Messages as the two drivers really write them."""

import pytest

from adapters.sqlserver_errors import platform_error
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

MS = "[Microsoft][ODBC Driver 18 for SQL Server]"


@pytest.mark.parametrize(
    ("state", "text", "is_connecting", "kind"),
    [
        ("28000", f"[28000] {MS}[SQL Server]Login failed for user 'u'. (18456) (SQLDriverConnect)", True, Unauthenticated),
        ("42000", "[42000] [FreeTDS][SQL Server]Login failed for user 'u'. (18456) (SQLDriverConnect)", True, Unauthenticated),
        ("08001", f"[08001] {MS}TCP Provider: Error code 0x2749 (10057) (SQLDriverConnect)", True, NotConnected),
        ("HYT00", f"[HYT00] {MS}Login timeout expired (0) (SQLDriverConnect)", True, NotConnected),
        ("01000", "[01000] [unixODBC][Driver Manager]Can't open lib 'x' : file (0) (SQLDriverConnect)", True, NotConnected),
        ("HYT00", f"[HYT00] {MS}Query timeout expired (0) (SQLExecDirectW)", False, DeadlineExceeded),
        ("08S01", f"[08S01] {MS}Communication link failure (0) (SQLExecDirectW)", False, Unavailable),
        ("42S02", f"[42S02] {MS}[SQL Server]Invalid object name 'dbo.x'. (208) (SQLExecDirectW)", False, NotFound),
        ("42S22", f"[42S22] {MS}[SQL Server]Invalid column name 'y'. (207) (SQLExecDirectW)", False, NotFound),
        ("42000", f"[42000] {MS}[SQL Server]The SELECT permission was denied (229) (SQLExecDirectW)", False, Forbidden),
        ("23000", f"[23000] {MS}[SQL Server]Violation of PRIMARY KEY constraint (2627) (SQLExecDirectW)", False, InvalidInput),
        ("22003", f"[22003] {MS}Numeric value out of range (0) (SQLExecDirectW)", False, InvalidInput),
        ("40001", f"[40001] {MS}[SQL Server]Transaction was deadlocked (1205) (SQLExecDirectW)", False, Unavailable),
        ("42000", f"[42000] {MS}[SQL Server]Incorrect syntax near ')'. (102) (SQLExecDirectW)", False, Unavailable),
    ],
)
def test_a_failure_is_classed_by_number_then_by_state(
    state: str, text: str, is_connecting: bool, kind: type[PlatformError]
) -> None:
    error = platform_error((state, text), "SQL Server db:1433", is_connecting=is_connecting)
    assert type(error) is kind
    assert error.detail.startswith("SQL Server db:1433: ")
    assert "Microsoft" not in error.detail
    assert "(SQL" not in error.detail


def test_a_broken_connection_can_be_told_from_a_failed_statement() -> None:
    lost = platform_error(("08S01", f"[08S01] {MS}Communication link failure (0) (SQLExecDirectW)"), "x")
    assert lost.specific_code == "connection_lost"
    assert platform_error(("40001", "(1205)"), "x").specific_code == "unavailable"


def test_an_error_without_words_still_says_something() -> None:
    assert platform_error((), "x").detail == "x: no message from the driver"
