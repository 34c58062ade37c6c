"""Functions of T-SQL that SQLite lacks or names otherwise."""

from collections.abc import Callable, Mapping
from typing import Final

# Function name before "(" → what stands for it in SQLite.
ALIASES: Final[Mapping[str, str]] = {
    "COUNT_BIG": "COUNT",
    "ISNULL": "ifnull",
    "LEFT": "tsql_left",
    "RIGHT": "tsql_right",
    "LEN": "tsql_len",
    "CHARINDEX": "tsql_charindex",
    "CONCAT": "sql_concat",
    "SCOPE_IDENTITY": "last_insert_rowid",
}


def sql_concat(*values: object) -> str:
    """CONCAT of SQL Server: NULL counts as an empty string."""
    return "".join("" if value is None else str(value) for value in values)


def _left(*arguments: object) -> str | None:
    text, count = _two(arguments)
    return None if text is None else str(text)[: int(str(count))]


def _right(*arguments: object) -> str | None:
    text, count = _two(arguments)
    size = int(str(count))
    return None if text is None else str(text)[-size:] if size else ""


def _len(*arguments: object) -> int | None:
    (text,) = arguments
    return None if text is None else len(str(text).rstrip(" "))


def _charindex(*arguments: object) -> int | None:
    part, text = _two(arguments)
    return None if part is None or text is None else str(text).find(str(part)) + 1


def _two(arguments: tuple[object, ...]) -> tuple[object, object]:
    first, second = arguments
    return first, second


FUNCTIONS: Final[Mapping[str, Callable[..., str | int | None]]] = {
    "tsql_left": _left,
    "tsql_right": _right,
    "tsql_len": _len,
    "tsql_charindex": _charindex,
    "sql_concat": sql_concat,
}
