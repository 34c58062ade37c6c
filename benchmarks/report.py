"""What every benchmark prints: the machine, the commit, its tables, and its goals with `met` computed from what was measured."""

import argparse
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

ROOT = Path(__file__).resolve().parent.parent


class Goal(Struct):
    """`value` is compared with `goal` as `sense` says: at most, or at least."""

    name: str
    unit: str
    goal: float
    value: float
    sense: Literal["<=", ">="]
    met: bool = False

    def __post_init__(self) -> None:
        self.met = self.value <= self.goal if self.sense == "<=" else self.value >= self.goal


class Table(Struct):
    """Rows of figures under a heading."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Report(Struct):
    """One run of one benchmark."""

    benchmark: str
    quick: bool
    machine: dict[str, Any]
    commit: str
    tables: list[Table]
    goals: list[Goal]
    notes: list[str]


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and Python: what a figure depends on."""
    model = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(total / 1024**2, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def commit() -> str:
    """The commit measured, with `+` where the tree has changes."""
    try:
        name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def show(report: Report, *, as_json: bool) -> None:
    """For people tables, then goals; or one JSON object."""
    if as_json:
        print(msgspec.json.encode(report).decode())
        return
    print(f"{report.benchmark}  commit {report.commit}  {report.machine['processor']}, {report.machine['cores']} cores")
    for table in report.tables:
        cells = [tuple(map(str, row)) for row in [table.columns, *table.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
        print(f"\n{table.title}")
        for row in cells:
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\ngoals")
    for goal in report.goals:
        print(f"  {'met   ' if goal.met else 'MISSED'} {goal.name}: {goal.value:g} {goal.unit} (goal {goal.sense} {goal.goal:g})")
    for note in report.notes:
        print(f"  note: {note}")


Measured = tuple[list[Table], list[Goal], list[str]]


def main(name: str, measure: Callable[[bool], Measured]) -> int:
    """The command line of a benchmark; exit status 0 also where a goal is missed: a figure is a figure."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="end within 45 s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    about = machine()
    tables, goals, notes = measure(options.quick)
    show(Report(name, options.quick, about, commit(), tables, goals, notes), as_json=options.json)
    return 0
