"""What the installer of test servers says and leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.ensure_servers import _services_kept_from_starting, missing_packages
from tools.source_tree import ROOT


def test_services_are_kept_from_starting_only_while_installing(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with _services_kept_from_starting(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()


def test_a_policy_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with _services_kept_from_starting(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


@pytest.mark.servers
def test_nothing_is_missing_where_all_tests_run() -> None:
    assert missing_packages() == []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-m", "tools.ensure_servers"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, b"")
