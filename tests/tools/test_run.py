"""How `make run` ends when Ctrl-C is pressed on a terminal, with a small program in the node's place."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tools.source_tree import ROOT

NODE = """\
import asyncio, signal, sys
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    print("node ready", flush=True)
    await stop.wait()
    print("node drained", flush=True)
    sys.exit(int(sys.argv[1]))
asyncio.run(main())
"""


def _read_until(terminal: int, text: bytes, within_s: float = 60.0) -> bytes:
    output = b""
    give_up_at = time.monotonic() + within_s
    while text not in output:
        ready, _, _ = select.select([terminal], [], [], max(0.0, give_up_at - time.monotonic()))
        assert ready, f"no {text!r} in {output!r}"
        output += os.read(terminal, 4096)
    return output


def _press_ctrl_c_on_make(folder: Path, node_status: int) -> tuple[int, bytes]:
    """Run make on a terminal of its own, press Ctrl-C once the node is up; return make's status and the output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvp("make", ["make", "-s", "run", f"STATUS={node_status}"])
    try:
        output = _read_until(terminal, b"node ready")
        os.write(terminal, b"\x03")
        output += _read_until(terminal, b"node drained")
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), output


@pytest.fixture
def dummy(tmp_path: Path) -> Path:
    (tmp_path / "node.py").write_text(NODE)
    shutil.copy(ROOT / "tools" / "run.sh", tmp_path)
    python = os.path.realpath("/proc/self/exe")
    (tmp_path / "Makefile").write_text(f"run:\n\t@sh run.sh {python} node.py $(STATUS)\n")
    return tmp_path


def test_ctrl_c_ends_make_with_status_0(dummy: Path) -> None:
    status, output = _press_ctrl_c_on_make(dummy, node_status=0)
    assert status == 0, output
    assert b"Interrupt" not in output


def test_a_node_that_ends_badly_fails_make(dummy: Path) -> None:
    status, _ = _press_ctrl_c_on_make(dummy, node_status=1)
    assert status == 2  # make's own status for a failed recipe


def test_without_a_terminal_the_status_is_the_commands_own() -> None:
    finished = subprocess.run(
        ["sh", ROOT / "tools" / "run.sh", "sh", "-c", "echo up; exit 7"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (7, "up\n")
