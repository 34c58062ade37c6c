"""Functions and clocks of MySQL that SQLite lacks or names otherwise."""

from collections.abc import Callable, Mapping
from typing import Final

# Function name before "(" → what stands for it in SQLite.
ALIASES: Final[Mapping[str, str]] = {
    "IF": "iif",
    "CONCAT": "mysql_concat",
    "LEFT": "mysql_left",
    "RIGHT": "mysql_right",
    "CHAR_LENGTH": "length",
    "CHARACTER_LENGTH": "length",
    "LENGTH": "mysql_length",
    "GREATEST": "max",
    "LEAST": "min",
    "LAST_INSERT_ID": "last_insert_rowid",
}
# Clock → the format of its whole seconds; all in UTC, which is this server's time zone.
CLOCKS: Final[Mapping[str, str]] = {
    "NOW": "datetime2",
    "SYSDATE": "datetime2",
    "LOCALTIME": "datetime2",
    "LOCALTIMESTAMP": "datetime2",
    "CURRENT_TIMESTAMP": "datetime2",
    "UTC_TIMESTAMP": "datetime2",
    "CURDATE": "date",
    "CURRENT_DATE": "date",
    "UTC_DATE": "date",
}
# Clocks that need no parentheses.
BARE_CLOCKS: Final = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIME", "LOCALTIMESTAMP", "UTC_TIMESTAMP", "UTC_DATE"})
# What CAST calls a type → the declaration it stands for.
CAST_TYPES: Final[Mapping[str, str]] = {
    "char": "longtext",
    "nchar": "longtext",
    "json": "longtext",
    "signed": "bigint",
    "unsigned": "bigint",
    "signedinteger": "bigint",
    "unsignedinteger": "bigint",
    "binary": "longblob",
    "datetime": "datetime2(0)",
    "double": "double",
    "float": "double",
}


def _concat(*values: object) -> str | None:
    """CONCAT of MySQL: NULL when any part is."""
    return None if None in values else "".join(map(str, values))


def _left(*arguments: object) -> str | None:
    text, count = arguments
    return None if text is None else str(text)[: int(str(count))]


def _right(*arguments: object) -> str | None:
    text, count = arguments
    size = int(str(count))
    return None if text is None else str(text)[-size:] if size else ""


def _length(*arguments: object) -> int | None:
    """LENGTH of MySQL counts bytes."""
    (text,) = arguments
    return None if text is None else len(text if isinstance(text, bytes) else str(text).encode())


FUNCTIONS: Final[Mapping[str, Callable[..., str | int | None]]] = {
    "mysql_concat": _concat,
    "mysql_left": _left,
    "mysql_right": _right,
    "mysql_length": _length,
}
