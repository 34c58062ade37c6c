"""The replay store that the processes of a node share: by file, across processes, over restarts, bounded."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.replays_file import FileReplays
from core.cache import Replays
from core.errors import Limited, Unavailable
from tests.conformance.replays_suite import ReplaysConformance
from tools.source_tree import ROOT

CLAIMING = """
import sys
from pathlib import Path
from cache.replays_file import FileReplays
replays = FileReplays(Path(sys.argv[1]), max_entries=200_000)
print("ready", flush=True)
for turn in sys.stdin:
    print(*[number for number in range(2_000) if replays.is_new(f"nonce {turn} {number}", 300.0)], flush=True)
"""
TURNS = 40


@pytest.fixture
def replays(tmp_path: Path) -> Iterator[Replays]:
    made = FileReplays(tmp_path / "replays.table", max_entries=10_000)
    yield made
    made.close()


class TestFileReplays(ReplaysConformance):
    pass


@pytest.mark.slow
def test_of_processes_that_claim_the_same_keys_at_once_each_key_is_one_process_s(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLAIMING, str(tmp_path / "replays.table")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    claiming = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for each in claiming:
        assert each.stdout.readline() == "ready\n"
    overlaps = 0
    for turn in range(TURNS):  # whether two of them run at the same time is the scheduler's to say: until they have, some times
        for each in claiming:
            each.stdin.write(f"{turn}\n")
            each.stdin.flush()
        claimed = [each.stdout.readline().split() for each in claiming]
        assert sorted(int(number) for numbers in claimed for number in numbers) == list(range(2_000))
        overlaps += sum(bool(numbers) for numbers in claimed) > 1
        if overlaps == 4:
            break
    for each in claiming:
        each.communicate(timeout=60)
    assert overlaps, f"of {TURNS} turns in none did two of them overlap"
    again = FileReplays(tmp_path / "replays.table", max_entries=200_000)
    assert not any(again.is_new(f"nonce 0\n {number}", 300.0) for number in range(2_000)), "it outlives them"
    again.close()


def test_a_process_that_is_killed_or_stopped_holds_up_nobody_for_long(tmp_path: Path) -> None:
    path = tmp_path / "replays.table"
    replays = FileReplays(path, max_entries=10)  # one bucket
    holding = (
        "import sys, time; from pathlib import Path; from cache.replays_file import FileReplays\n"
        "replays = FileReplays(Path(sys.argv[1]), max_entries=10); replays._lock(0); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holding, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    began = time.monotonic()
    with pytest.raises(Unavailable, match="can't be told now"):
        replays.is_new("nonce", 10.0)
    assert time.monotonic() - began < 2.0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert replays.is_new("nonce", 10.0)
    replays.close()


def test_full_it_refuses_what_is_new_and_forgets_nothing_early(tmp_path: Path) -> None:
    now = 1_000.5
    replays = FileReplays(tmp_path / "replays.table", max_entries=32, wall=lambda: now)
    for number in range(64):
        assert replays.is_new(f"nonce {number}", 10.0 if number < 40 else 20.0)
    with pytest.raises(Limited) as refused:
        replays.is_new("one more", 10.0)
    assert (refused.value.specific_code, refused.value.retry_after_s) == ("replays_full", 10.5)
    assert not any(replays.is_new(f"nonce {number}", 10.0) for number in range(64))
    now = 1_011.0
    assert replays.is_new("one more", 10.0)
    assert replays.is_new("nonce 0", 10.0)
    assert not replays.is_new("nonce 63", 10.0)
    replays.close()


def test_a_file_that_is_damaged_or_of_another_size_begins_afresh(tmp_path: Path) -> None:
    path = tmp_path / "replays.table"
    first = FileReplays(path, max_entries=100)
    assert first.is_new("nonce", 60.0)
    larger = FileReplays(path, max_entries=1_000)
    assert larger.is_new("nonce", 60.0)
    assert not first.is_new("nonce", 60.0), "who had it open goes on"
    path.write_bytes(b"not a table")
    again = FileReplays(path, max_entries=100)
    assert again.is_new("nonce", 60.0)
    assert path.stat().st_mode & 0o077 == 0
    for each in (first, again):
        each.close()
    with pytest.raises(Unavailable, match="used nonces can't be kept there: No such file"):
        FileReplays(tmp_path / "nowhere" / "replays.table")


def test_it_takes_its_room_on_the_disk_at_once_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "replays.table"
    replays = FileReplays(path)
    size = path.stat().st_size
    assert path.stat().st_blocks * 512 >= size
    assert size < 26e6
    for number in range(20_000):
        assert replays.is_new(f"nonce {number}", 300.0)
    assert path.stat().st_size == size
    replays.close()


def test_a_question_costs_little(tmp_path: Path) -> None:
    replays = FileReplays(tmp_path / "replays.table")
    began = time.process_time()
    for number in range(20_000):
        replays.is_new(f"signature:ak_0123456789:{number}", 300.0)
    each_us = (time.process_time() - began) / 20_000 * 1e6
    replays.close()
    print(f"{each_us:.1f} µs a question")
    assert each_us < 60, "far below the check of a signature"


async def test_it_answers_at_once(replays: Replays) -> None:
    assert replays.is_new("nonce", 10.0) is True
    assert await asyncio.to_thread(replays.is_new, "nonce", 10.0) is False
