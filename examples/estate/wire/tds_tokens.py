"""The tokens of a TDS reply other than rows ([MS-TDS] 2.2.7), and SQL Server's numbers for what goes wrong."""

import struct
from dataclasses import dataclass
from typing import Final

from examples.estate.wire.failures import Fault, SqlFailure

COLLATION: Final = bytes.fromhex("0408d00034")  # Chinese_PRC, case-insensitive, sort id 0: text goes as UTF-16 anyway
SERVER_NAME: Final = "ESTATE"
VERSION: Final = bytes([16, 0, 0x10, 0])  # 16.0.4096: the drivers then speak to it as to SQL Server 2022

DONE: Final = 0xFD
DONE_PROC: Final = 0xFE
DONE_IN_PROC: Final = 0xFF
MORE: Final = 0x01
ERROR: Final = 0x02
COUNT: Final = 0x10
ATTENTION: Final = 0x20

ENV_DATABASE: Final = 1
ENV_PACKET_SIZE: Final = 4
ENV_COLLATION: Final = 7
ENV_BEGIN: Final = 8
ENV_COMMIT: Final = 9
ENV_ROLLBACK: Final = 10
ENV_RESET: Final = 18


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as SQL Server words it; severity 11–16 is the user's to mend, from 20 on the connection ends."""

    number: int
    severity: int
    text: str


def short_text(text: str) -> bytes:
    """B_VARCHAR: at most 255 characters."""
    data = text[:120].encode("utf-16-le", "replace")
    return bytes([len(data) // 2]) + data


def _long_text(text: str) -> bytes:
    data = text[:2000].encode("utf-16-le", "replace")
    return struct.pack("<H", len(data) // 2) + data


def done(token: int, status: int = 0, rows: int = 0, command: int = 0) -> bytes:
    """DONE, DONEPROC or DONEINPROC."""
    return struct.pack("<BHHQ", token, status, command, rows)


def environment(kind: int, new: bytes, old: bytes = b"\0") -> bytes:
    """ENVCHANGE: the session's database, packet size, transaction … has changed."""
    return struct.pack("<BHB", 0xE3, 1 + len(new) + len(old), kind) + new + old


def error(problem: ServerError) -> bytes:
    """ERROR; always followed by a DONE with the error bit."""
    body = struct.pack("<iBB", problem.number, 1, problem.severity)
    body += _long_text(problem.text) + short_text(SERVER_NAME) + short_text("") + struct.pack("<i", 1)
    return struct.pack("<BH", 0xAA, len(body)) + body


def login_acknowledgement() -> bytes:
    """LOGINACK: T-SQL, TDS 7.4, and who answers."""
    body = b"\x01" + struct.pack(">I", 0x74000004) + short_text("Microsoft SQL Server") + VERSION
    return struct.pack("<BH", 0xAD, len(body)) + body


def return_status(value: int = 0) -> bytes:
    """RETURNSTATUS of a procedure."""
    return struct.pack("<Bi", 0x79, value)


def return_integer(value: int) -> bytes:
    """RETURNVALUE of the first output parameter, an int: the handle of a prepared statement."""
    return struct.pack("<BH", 0xAC, 0) + short_text("") + struct.pack("<BIHBBBi", 1, 0, 0, 0x26, 4, 4, value)


def prelogin_reply() -> bytes:
    """PRELOGIN: version, no encryption to be had, no instance, no multiple result sets."""
    options = ((0, VERSION + b"\0\0"), (1, b"\x02"), (2, b"\0"), (4, b"\0"))
    at = len(options) * 5 + 1
    heads, data = b"", b""
    for option, value in options:
        heads += struct.pack(">BHH", option, at + len(data), len(value))
        data += value
    return heads + b"\xff" + data


_WORDS: Final[dict[Fault, tuple[int, int, str]]] = {
    Fault.SYNTAX: (102, 15, "Incorrect syntax near '{near}'."),
    Fault.NO_TABLE: (208, 16, "Invalid object name '{near}'."),
    Fault.NO_COLUMN: (207, 16, "Invalid column name '{near}'."),
    Fault.NO_FUNCTION: (195, 15, "'{near}' is not a recognized built-in function name."),
    Fault.DUPLICATE: (2627, 14, "Violation of UNIQUE KEY or PRIMARY KEY constraint. Cannot insert duplicate key: {near}."),
    Fault.NOT_NULL: (515, 16, "Cannot insert the value NULL into column '{near}'; column does not allow nulls."),
    Fault.CONSTRAINT: (547, 16, "The statement conflicted with a FOREIGN KEY or CHECK constraint. {detail}"),
    Fault.LOCKED: (
        *(1205, 13),
        "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim."
        " Rerun the transaction.",
    ),
    Fault.CONVERSION: (245, 16, "Conversion failed: {detail}"),
    Fault.EXISTS: (2714, 16, "There is already an object named '{near}' in the database."),
    Fault.UNDECLARED: (137, 15, 'Must declare the scalar variable "@{near}".'),
    Fault.NO_TRANSACTION: (3902, 16, "The {near} request has no corresponding BEGIN TRANSACTION."),
}


def server_error(failure: SqlFailure) -> ServerError:
    """Return SQL Server's number, severity and words for a failed statement; 50000 where it has none."""
    if failure.fault is Fault.NO_TRANSACTION and failure.near == "ROLLBACK":
        return ServerError(3903, 16, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
    number, severity, words = _WORDS.get(failure.fault, (50000, 16, "{detail}"))
    return ServerError(number, severity, words.format(near=failure.near, detail=failure.detail))
