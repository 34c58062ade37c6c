"""Runs of gateways → tables and goals. Ratios are of CPU per request in the same kind and round, both clean; all figures medians.

On a shared machine clean rounds may be few: a median over fewer than three of them falls back to all rounds, and says so.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence

from benchmarks.gateway_load import KINDS, Run, pairs
from benchmarks.report import Goal, Table

REFERENCE, OURS = "nginx+Lua", "ours"
_ENOUGH = 3


def usable(runs: Sequence[Run]) -> tuple[list[Run], bool]:
    """The clean runs, or all without failures where fewer than three are clean."""
    clean = [run for run in runs if run.is_clean]
    return (clean, True) if len(clean) >= _ENOUGH else ([run for run in runs if not run.failures], False)


def ratios(runs: Iterable[Run], name: str, reference: str, kind: str, of: Callable[[Run], float]) -> list[float]:
    """`name` / `reference` in each round where both were measured; of clean rounds, where there are three."""
    both = [
        (found[name], found[reference])
        for (each, _), found in pairs(runs).items()
        if each == kind and name in found and reference in found and found[name].requests and found[reference].requests
    ]
    clean = [pair for pair in both if pair[0].is_clean and pair[1].is_clean]
    return [of(one) / of(other) for one, other in (clean if len(clean) >= _ENOUGH else both) if of(other)]


def ratio(runs: Iterable[Run], name: str, reference: str, kind: str, of: Callable[[Run], float] = lambda run: run.cpu_us) -> float:
    """The median ratio; not a number where there is none."""
    found = ratios(runs, name, reference, kind, of)
    return round(statistics.median(found), 3) if found else float("nan")


def table(runs: Sequence[Run], kind: str, names: Sequence[str], title: str, reference: str = REFERENCE) -> Table | None:
    """One kind of load; None where nothing of it was measured."""
    rows: list[tuple[object, ...]] = []
    for name in names:
        mine = [run for run in runs if run.kind == kind and run.name == name]
        if not mine:
            continue
        kept, is_clean = usable(mine)
        if not kept:
            rows.append((name, "-", "-", "-", "-", "-", "-", "-", "-", f"0/{len(mine)}", sum(run.failures for run in mine)))
            continue
        spread = ratios(runs, name, reference, kind, lambda run: run.cpu_us)
        shown = f"{statistics.median(spread):.2f} [{min(spread):.2f}-{max(spread):.2f}]" if spread else "-"
        rows.append(
            (
                name,
                round(_median(kept, lambda run: run.per_s)),
                round(_median(kept, lambda run: run.p50_ms), 2),
                round(_median(kept, lambda run: run.p99_ms), 2),
                round(_median(kept, lambda run: run.cpu_us), 1),
                round(min(run.cpu_us for run in kept), 1),
                shown,
                f"{100 * _median(mine, lambda run: run.steal):.1f} %",
                f"{100 * _median(mine, lambda run: run.foreign):.0f} %",
                f"{sum(run.is_clean for run in mine)}/{len(mine)}{'' if is_clean else ' (all shown)'}",
                sum(run.failures for run in mine),
            )
        )
    columns = (
        "gateway",
        "requests/s",
        "p50, ms",
        "p99, ms",
        "CPU, µs",
        "least, µs",
        f"CPU to {reference}",
        "steal",
        "others",
        "clean",
        "failures",
    )
    return Table(title, columns, rows) if rows else None


def _median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    return statistics.median(of(run) for run in runs)


_TITLES = {
    "unique": "every path, id and token new: each token is verified",
    "known": "paths and ids new, 20,000 tokens that the caches hold",
    "ids": "paths and ids new, one token",
    "repeated": "the same request again and again",
}


def tables(runs: Sequence[Run], names: Sequence[str]) -> list[Table]:
    """One of each kind of load, all gateways that were measured."""
    made = (table(runs, kind, names, f"{kind}: {_TITLES[kind]}") for kind in KINDS)
    return [each for each in made if each is not None]


def goals(runs: Sequence[Run], *, kinds: Sequence[str] = ("unique", "ids", "known")) -> list[Goal]:
    """The issue's, as far as they were measured."""
    at_most: list[tuple[str, float, float]] = [
        (f"CPU to {REFERENCE}, {kind}: {_TITLES[kind]}", 0.90, ratio(runs, OURS, REFERENCE, kind)) for kind in kinds
    ]
    at_most.append((f"CPU to {REFERENCE}, repeated", 0.75, ratio(runs, OURS, REFERENCE, "repeated")))
    for kind in kinds:
        at_most.append((f"p99 to {REFERENCE}, {kind}", 1.0, ratio(runs, OURS, REFERENCE, kind, lambda run: run.p99_ms)))
    at_most += [
        (f"pure Python: CPU to {REFERENCE}, {kind}", 1.4, ratio(runs, "ours, pure Python", REFERENCE, kind)) for kind in kinds
    ]
    at_most.append(("metrics: CPU with to without", 1.10, ratio(runs, "hand-made", "hand-made, no metrics", "ids")))
    found = [Goal(name, "×", limit, value, "<=") for name, limit, value in at_most if value == value]
    for name, least in (("aiohttp", 8.0), ("Caddy", 4.0), ("http-proxy", 4.0), ("fast-gateway", 4.0)):
        value = ratio(runs, name, OURS, "ids")
        if value == value:
            found.append(Goal(f"CPU of {name} to ours, one token", "×", least, value, ">="))
    return [*found, *_redis(runs)]


def _redis(runs: Sequence[Run]) -> list[Goal]:
    """What exact limits in Redis cost the gateway: the difference in the same round."""
    both = [
        found["hand-made, Redis limits"].cpu_us - found["hand-made"].cpu_us
        for (kind, _), found in pairs(runs).items()
        if kind == "ids" and {"hand-made, Redis limits", "hand-made"} <= found.keys()
    ]
    return [Goal("exact Redis limits: CPU more per request", "µs", 10.0, round(statistics.median(both), 1), "<=")] if both else []
