"""Ours against nginx, nginx+Lua, HAProxy, aiohttp, Caddy and Node's gateways: `python -m benchmarks.gateway [--quick] [--json]`.

Gateways take turns on one core, the load is on another; see gateway_load for what is counted and gateway_report for what is
made of it. `--only NAME …` leaves out the rest.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import gateway_node, gateway_report, gateway_sizes
from benchmarks.gateway_load import KINDS, Run, make_scripts, measure
from benchmarks.gateway_peers import Place, missing, redis_server, running, running_ours, upstream, with_workers
from benchmarks.gateway_report import OURS, REFERENCE
from benchmarks.report import Goal, Report, Table, commit, machine, show

PURE, TWO = "ours, pure Python", "ours, 2 workers"
HAND = "hand-made"
# One part of the hand-made worker off, or another, each held against the whole of it in the same round.
PARTS: dict[str, dict[str, object]] = {
    HAND: {},
    f"{HAND}, no stages": {"stages": 0},
    f"{HAND}, 8 stages": {"stages": 8},
    f"{HAND}, no metrics": {"metrics": False},
    f"{HAND}, no log": {"log": False},
    f"{HAND}, Redis limits": {"redis": True},
}
MAIN = (REFERENCE, OURS, PURE)
OTHERS = ("nginx", "HAProxy", "aiohttp", "Caddy", "http-proxy", "fast-gateway")
TWO_EACH = (TWO, f"{REFERENCE}, 2 workers")
Started = Iterator[tuple[int, Callable[[], list[int]]]]


def _folder(name: str) -> str:
    return {PURE: "node-pure", TWO: "node-two"}.get(name, "node")


class Bench:
    """One run of everything in a temporary folder, against one upstream."""

    def __init__(self, folder: Path, up: int, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        with gateway_node.running_ours(folder / "node", None) as (_, _, node):
            self._credential = gateway_node.prepare(node, up)
            gateway_node.wait_known(node, self._credential)
        for name in (PURE, TWO):  # they run side by side: each needs a data folder of its own, with the same keys in it
            shutil.copytree(folder / "node", folder / _folder(name))
        self.place = Place(folder, up, self._credential.key, self._credential.secret)
        self._redis = ""
        make_scripts(folder, self.place.key, self.place.secret)

    @contextmanager
    def started(self, name: str) -> Started:
        """The gateway of that name for the length of the block."""
        if name in (OURS, PURE, TWO):
            environment = {"ZHIYUN_PURE": "1"} if name == PURE else {}
            options = ["--workers", "2"] if name == TWO else []
            with gateway_node.running_ours(
                self.folder / _folder(name), self._credential, options=options, environment=environment
            ) as (
                port,
                pids,
                _,
            ):
                yield port, pids
        elif name in PARTS:
            with running_ours(self.place, **self._options(name)) as found:
                yield found
        else:
            peer = name.partition(",")[0]
            with running(peer, with_workers(self.place, 2) if name != peer else self.place) as found:
                yield found

    def _options(self, name: str) -> dict[str, object]:
        options = dict(PARTS[name])
        if options.pop("redis", False):
            self._redis = self._redis or self._stack.enter_context(redis_server(self.folder))
            options["redis"] = self._redis
        return options

    def token(self) -> str:
        with (self.folder / "known.tokens").open() as file:
            return file.readline().strip()


def _groups(quick: bool) -> list[tuple[Sequence[str], dict[str, Sequence[str]]]]:
    """Who is started together, and by kind of load who of them is measured, one right after the other: what is compared has the
    machine of the same seconds. Who waits costs next to nothing meanwhile."""
    kinds = ("unique", "ids", "repeated") if quick else KINDS
    main = (*MAIN, *OTHERS)
    groups: list[tuple[Sequence[str], dict[str, Sequence[str]]]] = [
        (main, {kind: main if kind == "ids" else MAIN for kind in kinds}),
        (tuple(PARTS), {"ids": tuple(PARTS)}),
    ]
    return groups if quick else [*groups, (TWO_EACH, {"ids": TWO_EACH})]


def rounds(bench: Bench, *, count: int, seconds: float, quick: bool, only: Sequence[str]) -> tuple[list[Run], list[str]]:
    """All runs, and a line for each gateway that was left out or did not run. Everything is started anew in each round: where a
    process's memory lies is luck too."""
    left_out = {name: reason for name in OTHERS if (not only or name in only) and (reason := missing(name))}
    runs: list[Run] = []
    notes = list(left_out.values())
    for turn in range(count):
        for names, kinds in _groups(quick):
            wanted = [name for name in names if name not in left_out and (not only or name in only)]
            with ExitStack() as stack:
                started = {}
                for name in wanted:
                    try:
                        started[name] = stack.enter_context(bench.started(name))
                    except RuntimeError as error:
                        notes.append(f"round {turn + 1}: {name} did not run: {str(error)[-300:]}")
                for kind, measured in kinds.items():
                    for name in [each for each in _turned(measured, turn) if each in started]:
                        port, pids = started[name]
                        runs.append(measure(name, port, pids, kind, bench.folder, turn, seconds))
                        print(f"round {turn + 1}/{count}: {name}, {kind}: {runs[-1].cpu_us:.1f} µs", file=sys.stderr, flush=True)
    return runs, notes


def _turned(names: Sequence[str], turn: int) -> list[str]:
    """Each round begins with another one, so that nobody always comes first."""
    at = turn % len(names)
    return [*names[at:], *names[:at]]


def _sizes(bench: Bench, quick: bool) -> tuple[list[Table], list[Goal]]:
    made = [
        gateway_sizes.idle_connections(bench.place, 2000 if quick else 10_000, bench.token()),
        gateway_sizes.big_bodies(bench.place, (1 << 28) if quick else (1 << 30), bench.token()),
        gateway_sizes.routing(),
    ]
    return [table for table, _ in made], [goal for _, goals in made for goal in goals]


def report(runs: Sequence[Run], quick: bool, about: dict[str, object]) -> Report:
    """Tables and goals of all runs."""
    tables = gateway_report.tables(runs, (*MAIN, *OTHERS))
    parts = gateway_report.table(runs, "ids", tuple(PARTS), "parts of the hand-made worker, one token", HAND)
    two = gateway_report.table(runs, "ids", TWO_EACH, "2 workers on both cores, which the load shares; one token", TWO_EACH[1])
    tables += [each for each in (parts, two) if each is not None]
    steal = max((run.steal for run in runs), default=0.0)
    clean = sum(run.is_clean for run in runs)
    rough = ["fewer than half of the runs are clean: the machine was busy, and every ratio and difference here is rough"]
    notes = [
        *(rough if clean * 2 < len(runs) else []),
        f"{clean} of {len(runs)} runs are clean; the worst had {100 * steal:.1f} % stolen",
        "nginx+Lua remembers 65,536 tokens, as ours does; it checks time, issuer, audience and scope; it tells no RateLimit fields",
        "HAProxy verifies each token anew; nginx, Caddy and Node's gateways only proxy",
    ]
    return Report("gateway", quick, about, commit(), tables, gateway_report.goals(runs), notes)


def main() -> int:
    """The command line; exit status 0 also where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 short rounds, some 2 to 3 minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, help="10, or 3 with --quick")
    parser.add_argument("--seconds", type=int, help="of one measurement: 4, or 1 with --quick")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"of {', '.join((*MAIN, *OTHERS, *PARTS, *TWO_EACH))}"
    )
    parser.add_argument("--no-sizes", action="store_true", help="leave out connections, big bodies and routes")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="write every single run there too, one JSON object a line")
    options = parser.parse_args()
    if not gateway_node.can_pin():
        print("benchmarks.gateway needs two cores: one for the gateway, one for the load", file=sys.stderr)
        return 2
    if reason := missing(REFERENCE):
        print(reason, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    about = machine()
    count, seconds = options.rounds or (3 if options.quick else 10), options.seconds or (1 if options.quick else 4)
    with tempfile.TemporaryDirectory(prefix="zhiyun-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        bench = Bench(folder, stack.enter_context(upstream(folder)), stack)
        runs, notes = rounds(bench, count=count, seconds=seconds, quick=options.quick, only=options.only)
        made = report(runs, options.quick, about)
        made.notes += notes
        if not options.no_sizes:
            tables, goals = _sizes(bench, options.quick)
            made.tables += tables
            made.goals += goals
    if options.runs is not None:
        options.runs.write_bytes(b"".join(msgspec.json.encode(run) + b"\n" for run in runs))
    show(made, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
