"""Quotas outlive a process: after a restart, a kill, a full disk, a damaged file."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cache.gcra import count_bound
from cache.limiter_memory import MemoryLimiter
from gateway.quota_file import QuotaFile
from tests.gateway.rig import until
from tools.source_tree import ROOT

DAY = ("a|shop|day", count_bound("day", 5))


def _used(path: Path) -> int:
    limiter = MemoryLimiter()
    QuotaFile(path, limiter).load()
    return 5 - 1 - limiter.decide((DAY,)).left[0][0]


def _spend(limiter: MemoryLimiter, times: int) -> None:
    for _ in range(times):
        assert limiter.decide((DAY,)).refused < 0


async def test_a_restart_goes_on_with_what_was_used(tmp_path: Path) -> None:
    path = tmp_path / "quotas-0.msgpack"
    limiter = MemoryLimiter()
    file = QuotaFile(path, limiter)
    file.load()  # there is none yet
    keeping = asyncio.ensure_future(file.keep(every_s=0.02))
    _spend(limiter, 2)
    await until(lambda: path.exists() and _used(path) == 2)  # written meanwhile
    _spend(limiter, 1)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    assert _used(path) == 3  # and at the end
    assert os.listdir(tmp_path) == [path.name]


async def test_nothing_is_written_while_nothing_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "quotas-0.msgpack"
    limiter = MemoryLimiter()
    _spend(limiter, 1)
    file = QuotaFile(path, limiter)
    file.save()
    assert not path.exists()  # what was there before is the loader's
    _spend(limiter, 1)
    file.save()
    written = path.stat().st_mtime_ns
    file.save()
    assert path.stat().st_mtime_ns == written


_CHILD = """
import asyncio, sys
from pathlib import Path
from cache.gcra import count_bound
from cache.limiter_memory import MemoryLimiter
from gateway.quota_file import QuotaFile

async def main():
    limiter = MemoryLimiter()
    file = QuotaFile(Path(sys.argv[1]), limiter)
    keeping = asyncio.ensure_future(file.keep(every_s=0.05))
    bound = count_bound("day", 100000)
    for number in range(100000):
        limiter.decide((("a|shop|day", bound),))
        print(number + 1, file._written, flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main())
"""


def test_a_process_that_is_killed_loses_at_most_the_time_between_two_saves(tmp_path: Path) -> None:
    path = tmp_path / "quotas-0.msgpack"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, env=environment, text=True)
    assert child.stdout is not None
    with child:
        for line in child.stdout:
            counted, written = map(int, line.split())
            if counted >= 100 and written > 1:
                break
        child.send_signal(signal.SIGKILL)
        for line in child.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                counted, written = map(int, line.split())
    limiter = MemoryLimiter()
    QuotaFile(path, limiter).load()
    kept = limiter.counts()["a|shop|day"][1]
    assert written <= kept <= counted + 1, "what had been saved, and no more than was counted"


@pytest.mark.parametrize("content", [b"", b"no msgpack at all", b"\x92\x01\xc0", b"\x92\x63\x80"])
def test_a_file_that_can_not_be_read_does_not_keep_a_gateway_from_starting(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "quotas-0.msgpack"
    path.write_bytes(content)
    assert _used(path) == 0


def test_a_disk_that_takes_nothing_is_no_end_of_counting(tmp_path: Path) -> None:
    limiter = MemoryLimiter()
    file = QuotaFile(tmp_path / "gone" / "quotas-0.msgpack", limiter)
    _spend(limiter, 2)
    file.save()
    _spend(limiter, 1)
    (tmp_path / "gone").mkdir()
    file.save()
    assert _used(tmp_path / "gone" / "quotas-0.msgpack") == 3
