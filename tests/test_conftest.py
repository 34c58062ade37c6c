"""The checks of tests/conftest.py fail a test that leaves something running."""

import os
import subprocess
import sys
from pathlib import Path

from tools.source_tree import ROOT

LEAVING = """\
import asyncio, subprocess

_left = []

def test_leaves_a_process():
    _left.append(subprocess.Popen(["sleep", "300"]))

async def test_leaves_a_task():
    _left.append(asyncio.get_running_loop().create_task(asyncio.sleep(60), name="forgotten"))

async def test_ends_what_it_started():
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0.01))
    subprocess.run(["true"], check=True)

def test_ends_the_process():
    for process in _left[:1]:
        process.kill()
        process.wait()
"""


def test_what_is_left_running_is_named(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_leaving.py").write_text(LEAVING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [*command, f"--rootdir={tmp_path}"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "sleep 300" in finished.stdout, finished.stdout
    assert "name='forgotten'" in finished.stdout
    assert "4 passed, 2 errors" in finished.stdout
