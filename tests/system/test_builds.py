"""The data plane's tests on real sockets, once in each build: what is compiled behaves as its source."""

import subprocess
import sys

import pytest

from tools.compile import build
from tools.source_tree import ROOT

_SUITES = tuple(f"tests/gateway/test_{name}.py" for name in ("listener", "http1_passage", "http1_outbound", "http1_tunnel"))


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["pure Python", "compiled"])
def test_the_engine_does_the_same_in_either_build(name: str) -> None:
    build()
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin:/usr/sbin", "ZHIYUN_PURE": "1" if name == "pure Python" else "0"}
    told = subprocess.run(
        [sys.executable, "-c", "import gateway.http1; print(gateway.http1.BUILD)"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == name
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_SUITES, "tests/system/test_strictness.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:]
