"""A SQLite file that several processes open at once gets its write-ahead log from the first of them."""

import sqlite3
import time

_PAUSE_S = 0.01


def use_wal(connection: sqlite3.Connection, *, within_s: float) -> None:
    """Switch the file to WAL, where it is new. Blocks, for the connection's own thread. Raises OperationalError after `within_s`.

    SQLite's busy timeout does not hold here: two that read the file and both want it for themselves would wait for each other, so
    one of them is told at once that the file is locked.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
        time.sleep(_PAUSE_S)


def is_full(error: sqlite3.OperationalError) -> bool:
    """No room was left: for the file or its log, or for the log's index, whose pages are memory that needs room as well."""
    return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE)
