"""Why a statement failed, in words of no dialect; each wire server turns a fault into its own error numbers."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto


class Fault(Enum):
    """The cases that SQL Server and MySQL number differently."""

    SYNTAX = auto()
    NO_TABLE = auto()
    NO_COLUMN = auto()
    NO_FUNCTION = auto()
    DUPLICATE = auto()
    NOT_NULL = auto()
    CONSTRAINT = auto()
    LOCKED = auto()
    CONVERSION = auto()
    EXISTS = auto()
    CANCELLED = auto()
    UNDECLARED = auto()
    NO_TRANSACTION = auto()
    OTHER = auto()


class SqlFailure(Exception):
    """A statement that cannot be done; the connection goes on. `near` names the word, table or column meant."""

    def __init__(self, fault: Fault, *, near: str = "", detail: str = "") -> None:
        super().__init__(detail or f"{fault.name.lower()} {near}".strip())
        self.fault = fault
        self.near = near
        self.detail = detail


_BY_MESSAGE: tuple[tuple[re.Pattern[str], Fault], ...] = tuple(
    (re.compile(pattern), fault)
    for pattern, fault in (
        (r'near "(.*?)": syntax error', Fault.SYNTAX),
        (r"no such table: (.*)", Fault.NO_TABLE),
        (r"no such column: (.*)", Fault.NO_COLUMN),
        (r"has no column named (.*)", Fault.NO_COLUMN),
        (r"no such function: (.*)", Fault.NO_FUNCTION),
        (r"UNIQUE constraint failed: (.*)", Fault.DUPLICATE),
        (r"NOT NULL constraint failed: (.*)", Fault.NOT_NULL),
        (r"(?:CHECK|FOREIGN KEY) constraint failed:? ?(.*)", Fault.CONSTRAINT),
        (r"(?:table|index) (.*) already exists", Fault.EXISTS),
        (r"database (?:table )?is locked()", Fault.LOCKED),
        (r"interrupted()", Fault.CANCELLED),
        (r"user-defined function raised exception()", Fault.CONVERSION),
        (r"incomplete input()", Fault.SYNTAX),
        (r"unrecognized token: \"(.*)\"", Fault.SYNTAX),
        (r"(?:datatype mismatch|integer overflow)()", Fault.CONVERSION),
        (r"binding parameter :(\w+)", Fault.UNDECLARED),
    )
)


@contextmanager
def sqlite_failures() -> Iterator[None]:
    """Turn SQLite's exceptions into SqlFailure."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise failure_of(str(error)) from error
    except UnicodeError as error:
        raise SqlFailure(Fault.CONVERSION, detail="a text of the statement is not valid Unicode") from error
    except OverflowError as error:
        raise SqlFailure(Fault.CONVERSION, detail="an integer of the statement has more than 64 bits") from error


def failure_of(message: str) -> SqlFailure:
    """Classify one of SQLite's messages."""
    for pattern, fault in _BY_MESSAGE:
        if match := pattern.search(message):
            return SqlFailure(fault, near=match.group(1) or "", detail=message)
    return SqlFailure(Fault.OTHER, detail=message)
