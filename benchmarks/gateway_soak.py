"""Minutes at 70 % of what a node can do, its configuration changed each second: no request may fail and memory must stay flat.

`python -m benchmarks.gateway_soak [--minutes 10] [--json]`; the exit status is 1 where one of the two does not hold. The gateway is
on one core, the load (asyncio, paced) with upstream and back office on the other.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks import gateway_node
from benchmarks.gateway_load import LOAD_CORE, make_scripts, memory_kb, parsed, pin, wrk
from benchmarks.gateway_pace import Pace
from benchmarks.gateway_peers import upstream
from benchmarks.hot_path import requests
from benchmarks.node import Node
from benchmarks.report import Goal, Report, Table, commit, machine, show

_SHARE = 0.7
_EVERY_S = 1.0
_WARM_SHARE = 0.2  # of the time, before memory counts: caches, logs and allocators fill
_FLAT_KB_PER_MINUTE = 256.0


class Changes:
    """Changes a route by the management API each second, and notes how long a change took and what memory was."""

    def __init__(self, node: Node, pids: Callable[[], list[int]]) -> None:
        self._node = node
        self._pids = pids
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.made = 0
        self.failed: list[str] = []
        self.memory: list[tuple[float, int]] = []  # seconds since the start, KB
        self.restarted = 0

    def _run(self) -> None:
        started, first = time.monotonic(), self._pids()
        document = gateway_node.document(0)["routes"]["items"]
        while not self._is_over.wait(max(0.0, started + (self.made + 1) * _EVERY_S - time.monotonic())):
            self.made += 1
            try:
                self._node.api("PUT", "/routes/items", {**document, "title": f"soak {self.made}"})
                pids = self._pids()
                self.restarted += pids != first
                self.memory.append((time.monotonic() - started, sum(map(memory_kb, pids))))
            except (RuntimeError, OSError) as error:
                self.failed.append(str(error)[:200])

    def __enter__(self) -> "Changes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def slope_kb(memory: list[tuple[float, int]]) -> float:
    """KB a minute after the warm-up: the median of the slopes between all pairs of 60 evenly spread points (Theil-Sen), so that a
    single collection or a fold does not count as growth. 0 where there are too few."""
    if len(memory) < 10:
        return 0.0
    kept = [each for each in memory if each[0] >= memory[-1][0] * _WARM_SHARE]
    points = kept[:: max(1, len(kept) // 60)]
    slopes = [(b - a) / (t - s) for n, (s, a) in enumerate(points) for t, b in points[n + 1 :] if t > s]
    return statistics.median(slopes) * 60 if slopes else 0.0


def _capacity(port: int, folder: Path) -> float:
    """Requests a second that wrk gets; the median of three."""
    wrk(port, folder / "ids.lua", 1)
    return statistics.median(parsed(wrk(port, folder / "ids.lua", 2))[1] for _ in range(3))


def soak(minutes: float, share: float) -> Report:
    about = machine()
    with tempfile.TemporaryDirectory(prefix="zhiyun-soak-") as name:
        folder = Path(name)
        with upstream(folder) as up, gateway_node.running_ours(folder / "node", None) as (port, pids, node):
            credential = gateway_node.prepare(node, up)
            gateway_node.wait_known(node, credential)
            make_scripts(folder, credential.key, credential.secret)
            capacity = _capacity(port, folder)
            heads = requests((folder / "known.tokens").read_text().split(), 20_000)
            pace = Pace(port, heads, capacity * share)
            pin([os.getpid()], LOAD_CORE)
            with Changes(node, pids) as changes:
                uvloop.run(pace.run(minutes * 60))
    return _report(pace, changes, capacity, minutes, about)


def _report(pace: Pace, changes: Changes, capacity: float, minutes: float, about: dict[str, object]) -> Report:
    slope = round(slope_kb(changes.memory), 1)
    kilobytes = [each for _, each in changes.memory] or [0]
    rows: list[tuple[object, ...]] = [
        ("capacity by wrk, one core", round(capacity), "requests/s"),
        ("sent", pace.sent, "requests"),
        ("pace kept", round(pace.sent / (minutes * 60)), "requests/s"),
        ("most requests waiting for a free connection", pace.behind, "requests"),
        ("answers by status", ", ".join(f"{status}: {count}" for status, count in sorted(pace.statuses.items())), ""),
        ("p50 / p99 / p99.9", f"{pace.quantile_ms(0.5)} / {pace.quantile_ms(0.99)} / {pace.quantile_ms(0.999)}", "ms"),
        ("configurations loaded", changes.made - len(changes.failed), "changes"),
        ("connections opened again", pace.reopened, ""),
        ("gateway memory at start / most / end (Pss)", f"{kilobytes[0]} / {max(kilobytes)} / {kilobytes[-1]}", "KB"),
    ]
    goals = [
        Goal("failed requests", "requests", 0, pace.failed(), "<="),
        Goal("configuration changes refused", "changes", 0, len(changes.failed), "<="),
        Goal("gateway's processes that died", "times", 0, changes.restarted, "<="),
        Goal("growth of memory after the warm-up", "KB/minute", _FLAT_KB_PER_MINUTE, slope, "<="),
    ]
    notes = [f"{kind}: {count}" for kind, count in pace.failures.items() if count] + sorted(set(changes.failed))[:5]
    table = Table(f"{minutes:g} minutes, a reload each second", ("what", "measured", "unit"), rows)
    return Report("gateway_soak", minutes < 10, about, commit(), [table], goals, notes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=_SHARE, help="of the measured capacity; 0.7")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not gateway_node.can_pin():
        print("benchmarks.gateway_soak needs two cores: one for the gateway, one for the load", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    report = soak(options.minutes, options.share)
    show(report, as_json=options.json)
    return 0 if all(goal.met for goal in report.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
