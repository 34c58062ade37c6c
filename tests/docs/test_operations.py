"""docs/operations.md against the code: the metrics it names, the backup it shows."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.metrics import exposition
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_the_metrics_on_the_page_are_exported(tmp_path: Path) -> None:
    exported = set(re.findall(r"^# TYPE (\w+?)(?:_total)? ", exposition(tmp_path).decode(), re.MULTILINE))
    exported |= set(re.findall(r'"(zhiyun_[a-z0-9_]+)"', (ROOT / "console/api/metrics.py").read_text(encoding="utf-8")))
    named = {name.removesuffix("_total") for name in re.findall(r"`(zhiyun_[a-z0-9_]+)", PAGE)}
    assert len(named) >= 8
    assert named - exported == set()


def test_the_backup_copies_what_is_committed_while_the_database_is_in_use(tmp_path: Path) -> None:
    block = next(block for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if ".backup(" in block)
    (tmp_path / "data").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    connections = [sqlite3.connect(tmp_path / f"data/{name}.db") for name in ("platform", "bus", "mirror")]
    try:
        for connection in connections:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE kept (number INTEGER)")
            connection.execute("INSERT INTO kept VALUES (7)")
            connection.commit()
        subprocess.run(["/bin/sh", "-eu", "-c", block], cwd=tmp_path, check=True, timeout=60)
    finally:
        for connection in connections:
            connection.close()
    for copy in sorted((tmp_path / "backup").iterdir()):
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
    assert len(list((tmp_path / "backup").iterdir())) == 3
