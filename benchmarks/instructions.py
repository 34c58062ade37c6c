"""Instructions per request in the gateway's own space, counted by valgrind: a figure that a busy machine does not change.
What it leaves out are the kernel's part, which is the same for all who proxy, and waiting for memory.

`python -m benchmarks.instructions [--quick] [--json] [--keep FOLDER]`. Ours is the worker put together by hand
(benchmarks/peers/ours.py). What is kept can be read by `callgrind_annotate`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.gateway_load import make_scripts, parsed, wrk
from benchmarks.gateway_peers import Place, configured, missing, upstream
from benchmarks.node import free_port
from benchmarks.report import Goal, Report, Table, commit, machine, show

KINDS = ("ids", "repeated")  # new tokens would be known from the warm-up at this pace
NAMES = ("nginx+Lua", "ours")
NO_METRICS = "ours, no metrics"
_KEY, _SECRET = "ak_counted", "a-secret-of-the-benchmark-and-of-nobody-else"
_GOAL = 0.9  # of nginx+Lua's
_METRICS_GOAL = 1.1
_UP_S = 60.0  # under valgrind everything takes fifty times as long


def command(name: str, place: Place, port: int) -> list[str]:
    """What runs one gateway in one process."""
    if name.startswith("ours"):
        told: dict[str, object] = {
            "port": port,
            "upstream": place.upstream,
            "key": place.key,
            "secret": place.secret,
            "folder": str(place.folder),
        }
        told["metrics"] = name != NO_METRICS
        return [sys.executable, "-m", "benchmarks.peers.ours", json.dumps(told)]
    config = place.folder / "counted.conf"
    config.write_text(configured("nginx+Lua", port, place))
    return ["nginx", "-c", str(config), "-p", str(place.folder), "-e", str(place.folder / "start.err"), "-g", "master_process off;"]


def counted(name: str, kind: str, place: Place, seconds: float, kept: Path) -> float:
    """Instructions per request, after a warm-up. RuntimeError where the gateway does not answer."""
    port, out = free_port(), kept / f"{name}-{kind}.callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--smc-check=all-non-file", f"--callgrind-out-file={out}"]
    with (place.folder / "valgrind.err").open("wb") as errors:
        process = subprocess.Popen([*valgrind, *command(name, place, port)], stderr=errors)
    try:
        script = place.folder / f"{kind}.lua"
        _wait(port, script)
        wrk(port, script, seconds)
        _switch(process.pid, "on")
        requests = requests_of(wrk(port, script, seconds))
        _switch(process.pid, "off")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    found = re.search(r"^totals: (\d+)", out.read_text(errors="replace"), re.M)
    if found is None:
        raise RuntimeError(f"callgrind counted nothing for {name}")
    return int(found[1]) / requests


def _wait(port: int, script: Path) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        with suppress(ValueError, subprocess.CalledProcessError):
            requests, *_, failures = parsed(wrk(port, script, 1, connections=2))
            if requests and not failures:
                return
        time.sleep(0.2)
    raise RuntimeError("the gateway did not answer under valgrind")


def _switch(pid: int, state: str) -> None:
    subprocess.run(["callgrind_control", "-i", state, str(pid)], check=True, capture_output=True)


def requests_of(text: str) -> int:
    """Of wrk's output; at this pace a latency can be in a unit that `parsed` does not know."""
    found = re.search(r"(\d+) requests in", text)
    if found is None or "Non-2xx" in text:
        raise RuntimeError(f"the load failed: {text[-300:]}")
    return int(found[1])


def measure(kinds: Sequence[str], seconds: float, kept: Path) -> tuple[Table, list[Goal]]:
    """A row for each kind of load, and what is to be reached."""
    rows: list[tuple[object, ...]] = []
    goals = []
    with tempfile.TemporaryDirectory(prefix="zhiyun-bench-") as text, upstream(Path(text)) as behind:
        folder = Path(text)
        make_scripts(folder, _KEY, _SECRET)
        place = Place(folder, behind, _KEY, _SECRET)
        for kind in kinds:
            theirs, ours, bare = (counted(name, kind, place, seconds, kept) for name in (*NAMES, NO_METRICS))
            rows.append((kind, round(theirs), round(ours), round(ours / theirs, 2), round(bare)))
            goals.append(Goal(f"instructions to nginx+Lua, {kind}", "×", _GOAL, round(ours / theirs, 2), "<="))
            goals.append(Goal(f"instructions with metrics to without, {kind}", "×", _METRICS_GOAL, round(ours / bare, 3), "<="))
    return Table("instructions per request, kernel not counted", ("load", *NAMES, "ours to nginx+Lua", NO_METRICS), rows), goals


def main() -> int:
    """The command line; exit status 0 also where a goal is missed, 2 where something is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one kind of load, for a short time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where callgrind's files are to stay")
    options = parser.parse_args()
    reason = missing("nginx+Lua")
    if shutil.which("valgrind") is None:
        reason = "valgrind is not installed (Debian: apt-get install valgrind)"
    if reason:
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as unkept:
        kept = options.keep or Path(unkept)
        kept.mkdir(parents=True, exist_ok=True)
        table, goals = measure(KINDS[:1] if options.quick else KINDS, 3 if options.quick else 10, kept.resolve())
    notes = ["of one process each, after a warm-up of the same length; another run differs by about one in a hundred"]
    show(Report("instructions", options.quick, machine(), commit(), [table], goals, notes), as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
