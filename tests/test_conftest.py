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


GROUPED = """\
import os, pathlib, pytest

@pytest.mark.xdist_group("one broker")
@pytest.mark.parametrize("number", range(12))
def test_of_a_group(number, request):
    (pathlib.Path(__file__).parent / f"ran-{os.environ['PYTEST_XDIST_WORKER']}").touch()
"""


def _pytest(folder: Path, content: str, *options: str) -> str:
    """What a run of these tests under the conftest of ours prints."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_made.py").write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [*command, f"--rootdir={folder}"], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    return finished.stdout


def test_what_is_left_running_is_named(tmp_path: Path) -> None:
    told = _pytest(tmp_path, LEAVING)
    assert "sleep 300" in told, told
    assert "name='forgotten'" in told
    assert "4 passed, 2 errors" in told


def test_a_group_runs_on_one_test_worker(tmp_path: Path) -> None:
    told = _pytest(tmp_path, GROUPED, "-n", "2", "--dist", "loadgroup")
    assert "12 passed" in told, told
    assert len(list(tmp_path.glob("ran-*"))) == 1
