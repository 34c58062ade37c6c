"""Many processes begin with the same new file, and none of them fails for it."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from storage.wal import use_wal


def _opened(path: Path, *, timeout_s: float = 0) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def test_who_is_told_that_the_file_is_locked_tries_again(tmp_path: Path) -> None:
    with closing(_opened(tmp_path / "a.db")) as reader, closing(_opened(tmp_path / "a.db")) as other:
        reader.execute("CREATE TABLE t (x)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(other, within_s=0)
        switching = threading.Thread(target=use_wal, args=(other,), kwargs={"within_s": 60})
        switching.start()
        switching.join(0.1)
        assert switching.is_alive()
        reader.execute("COMMIT")
        switching.join(60)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_of_many_who_open_a_new_file_at_once_each_succeeds(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def begin(path: Path, together: threading.Barrier) -> None:
        # The wait is that of the callers: a read may meet the last of the others, who holds the whole file while it closes.
        with closing(_opened(path, timeout_s=60)) as connection:
            together.wait()
            try:
                use_wal(connection, within_s=60)
                connection.execute("PRAGMA schema_version").fetchall()
            except sqlite3.Error as error:
                failures.append(error)

    for number in range(20):
        together = threading.Barrier(6)
        threads = [threading.Thread(target=begin, args=(tmp_path / f"{number}.db", together)) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert failures == []


def test_a_file_that_is_no_database_is_no_reason_to_wait(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    with closing(_opened(tmp_path / "a.db")) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_wal(connection, within_s=3600)
