"""The protocol between the supervisor and its children, with a real child process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import Settings, to_json
from core.secret import Secret

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from core.errors import Unavailable
from server.child import run

async def main(child):
    child.tell("ready", folder=str(child.settings.data_dir))
    message = await child.message()
    if message.get("fail"):
        raise Unavailable(message["fail"])
    child.tell("heard", **message)
    await child.stopping.wait()
    child.tell("drained")

sys.exit(run(main, process="test"))
"""


@contextmanager
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdin is not None
        process.stdin.write(to_json(Settings(data_dir=tmp_path, master_key=Secret("k" * 32))).encode() + b"\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _event(process: subprocess.Popen[bytes]) -> dict[str, object]:
    assert process.stdout is not None
    found: dict[str, object] = json.loads(process.stdout.readline())
    return found


def _say(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


@pytest.mark.parametrize("end", ["sigterm", "parent gone"])
def test_settings_and_messages_come_by_the_pipe_and_its_end_is_the_child_s(tmp_path: Path, end: str) -> None:
    with child(tmp_path) as process:
        assert _event(process) == {"event": "ready", "folder": str(tmp_path)}
        _say(process, b'{"a": "1", ')  # a message may come in pieces
        _say(process, b'"b": "2"}\n')
        assert _event(process) == {"event": "heard", "a": "1", "b": "2"}
        process.send_signal(signal.SIGINT)  # Ctrl-C is the supervisor's to answer
        if end == "sigterm":
            process.terminate()
        else:
            assert process.stdin is not None
            process.stdin.close()
        assert _event(process) == {"event": "drained"}
        assert process.wait(10) == 0


def test_a_failure_to_start_is_told_in_one_line(tmp_path: Path) -> None:
    with child(tmp_path) as process:
        _event(process)
        _say(process, b'{"fail": "the moon is in the way"}\n')
        assert _event(process) == {"event": "failed", "detail": "the moon is in the way"}
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
