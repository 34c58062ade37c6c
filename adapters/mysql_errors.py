"""What MySQL and MariaDB say about a failure, in the platform's terms, by their error numbers."""

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

_BY_NUMBER: dict[type[PlatformError], tuple[int, ...]] = {
    NotFound: (1049, 1051, 1054, 1109, 1146),
    Unauthenticated: (1045, 1251, 1698, 1820, 1862, 3118, 3955),
    Forbidden: (1044, 1130, 1142, 1143, 1227, 1290, 1370, 1792, 1836),
    NotConnected: (1040, 1129, 1203, 1226, 2002, 2003, 2005, 2026),
    InvalidInput: (
        *(1048, 1062, 1101, 1136, 1138, 1216, 1217, 1264, 1265, 1288, 1292, 1364, 1366, 1367, 1406, 1411, 1425),
        *(1451, 1452, 1525, 1586, 1644, 1690, 1761, 1762, 3140, 3819, 3988, 4025),
    ),
    DeadlineExceeded: (1969, 3024),
}
_CLASS_OF = {number: kind for kind, numbers in _BY_NUMBER.items() for number in numbers}
_LOST = (0, 1053, 1927, 2006, 2013, 2014, 2055, 4031)  # 0: aiomysql on a connection that is closed already


def platform_error(arguments: Sequence[Any], where: str, *, is_connecting: bool = False) -> PlatformError:
    """The error for the driver's `args` (number, message); `where` names the server."""
    number = arguments[0] if arguments and isinstance(arguments[0], int) else -1
    text = " ".join(str(argument) for argument in arguments[1:] or arguments).strip() or "the connection was lost"
    detail = f"{where}: {' '.join(text.split())[:400]} ({number})"
    if number in _CLASS_OF:
        return _CLASS_OF[number](detail)
    if is_connecting:
        return NotConnected(detail)
    return Unavailable(detail, code=CONNECTION_LOST if number in _LOST else None)
