"""How a server's process is started, killed, and ended when the test run itself is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.process import ServerError, ServerProcess, find_program
from tools.source_tree import ROOT

_RUN_THAT_IS_KILLED = """\
import sys, time
from pathlib import Path
from tests.servers.process import ServerProcess
server = ServerProcess("sleeper", ["sh", "-c", "sleep 300 & wait"], Path(sys.argv[1]), lambda: True)
server.start()
print(server.pid, flush=True)
time.sleep(300)
"""


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_missing_program_names_the_package() -> None:
    with pytest.raises(ServerError, match=r"no-such-daemon is not installed: install Debian's package no-such-package"):
        find_program("no-such-daemon", "no-such-package")


def test_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    server = ServerProcess("failing", ["sh", "-c", "echo bad setting; exit 3"], tmp_path, lambda: False)
    with pytest.raises(ServerError, match="failing ended with 3; the end of its log:\nbad setting"):
        server.start()
    assert not server.is_running


def test_server_that_never_serves_is_ended(tmp_path: Path) -> None:
    server = ServerProcess("idle", ["sleep", "300"], tmp_path, lambda: False, start_within_s=0.1)
    with pytest.raises(ServerError, match=r"idle did not serve within 0\.1 s"):
        server.start()
    with pytest.raises(ServerError, match="idle is not running"):
        _ = server.pid


def test_kill_ends_the_whole_process_group(tmp_path: Path) -> None:
    server = ServerProcess("parent", ["sh", "-c", "sleep 300 & wait"], tmp_path, lambda: True)
    server.start()
    group = server.pid
    assert _group_lives(group)
    server.kill()
    assert not _group_lives(group)
    server.kill()  # a second time does nothing


def test_servers_die_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RUN_THAT_IS_KILLED, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        group = int(run.stdout.readline())
        run.send_signal(signal.SIGKILL)
    give_up_at = time.monotonic() + 10
    while _group_lives(group) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert not _group_lives(group)
