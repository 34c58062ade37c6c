"""What ODBC says about a failure, in the platform's terms: by SQL Server's error number first, else by SQLSTATE."""

import re
from collections.abc import Sequence
from typing import Any

from adapters.sql_pool import CONNECTION_LOST
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

# A bad login is SQLSTATE 28000 from Microsoft's driver and 42000 from FreeTDS: only the number says it surely.
_BY_NUMBER: dict[type[PlatformError], tuple[int, ...]] = {
    NotFound: (207, 208, 911, 2812, 4060, 4121),
    Unauthenticated: (18450, 18451, 18452, 18456, 18470, 18486, 18487, 18488),
    Forbidden: (229, 230, 262, 297, 300, 916, 3704, 15247),
    InvalidInput: (
        *(220, 232, 241, 242, 245, 248, 257, 295, 334, 515, 544, 547, 1946, 2601, 2627, 2628),
        *(4406, 4407, 8114, 8115, 8152, 8169, 13535),
    ),
    Unavailable: (601, 1204, 1205, 1222, 3960, 10928, 10929, 40197, 40501, 40613),
}
_CLASS_OF = {number: kind for kind, numbers in _BY_NUMBER.items() for number in numbers}
_NUMBER = re.compile(r"\((\d+)\)")
_TAG = re.compile(r"\[(?:Microsoft|FreeTDS|SQL Server|unixODBC|Driver Manager|ODBC Driver[^]]*|[0-9A-Z]{5})\]")
_LOST = ("08S01", "08003", "08007", "01002")


def platform_error(arguments: Sequence[Any], where: str, *, is_connecting: bool = False) -> PlatformError:
    """The error for pyodbc's `args` (SQLSTATE, message); `where` names the server."""
    state = str(arguments[0]) if arguments else ""
    text = str(arguments[1]) if len(arguments) > 1 else state
    detail = f"{where}: {_readable(text)}"
    for number in map(int, _NUMBER.findall(text)):
        if number in _CLASS_OF:
            return _CLASS_OF[number](detail)
    if "Can't open lib" in text or state in ("IM002", "IM003", "IM004"):
        return NotConnected(f"{detail}; check the setting `driver`, and that its library is installed")
    if state == "28000":
        return Unauthenticated(detail)
    if is_connecting:
        return NotConnected(detail)
    return _by_state(state, detail)


def _by_state(state: str, detail: str) -> PlatformError:
    if state in _LOST or state.startswith("08"):
        return Unavailable(detail, code=CONNECTION_LOST)
    if state == "HYT00":
        return DeadlineExceeded(detail)
    if state in ("42S02", "42S22"):
        return NotFound(detail)
    if state.startswith(("22", "23")):
        return InvalidInput(detail)
    return Unavailable(detail)


def _readable(text: str) -> str:
    """The server's own words of the first message, without the drivers' brackets; bounded."""
    first = text.split("; [")[0]
    words = re.sub(r"\s*\(SQL\w+\)\s*$", "", _TAG.sub("", first))
    return " ".join(words.split())[:400] or "no message from the driver"
