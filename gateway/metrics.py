"""Figures of a node's workers in Prometheus' text format.

Workers are processes of their own: each writes its totals to `<data_dir>/metrics/<worker>.msgpack`, and who is scraped adds up the
files. A worker that starts again goes on from its file, and files of workers that are gone still count: counters never go back. Its
last second is lost when a worker is killed.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock

import msgspec
import structlog
from msgspec import Struct

from gateway.record import CLASSES, EDGES_S, IN, LATENCIES, MICROSECONDS, OUT, VERDICTS, WIDTH, Recorder, Row
from gateway.stage import Request, Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EVERY_S = 1.0
_LIVE_S = 5.0
_LONGEST_S = 4.0  # a worker that says nothing for longer would count as gone
_SHARE = 0.02  # of a worker's time: with very many routes it writes less often
_SHOWN = tuple(EDGES_S.index(edge) for edge in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0))
_log = structlog.get_logger("gateway.metrics")

COUNTERS = {
    "upstream_failures": ("upstream", "Requests that the upstream failed"),
    "upstream_retries": ("upstream", "Requests that were tried again"),
    "dropped": ("what", "Access log lines, usage and spans that were dropped because a buffer was full"),
}
"""What `Recorder.count` may count: name → its label, and its text."""
GAUGES = {
    "connections": "Open connections of clients",
    "in_flight": "Requests under way",
    "cache_bytes": "Bytes that the response cache holds",
    "cache_entries": "Entries of the response cache",
    "tunnels": "Open tunnels (WebSocket)",
}
"""What `Recorder.gauges` may hold: name → its text. Summed over the workers that are alive."""


class Numbers(Struct):
    """What a worker's file holds."""

    pid: int
    written_ms: int
    edges: int  # how wide a row is: another version's file is left alone
    routes: dict[str, Row] = {}
    apps: dict[str, Row] = {}
    codes: dict[str, int] = {}
    counters: dict[str, dict[str, int]] = {}
    gauges: dict[str, float] = {}


class MetricsFile:
    """A worker's side: `restore` once at its start, `keep` as a loop, `write` when it ends."""

    def __init__(self, folder: Path, worker: str, recorder: Recorder) -> None:
        self._path = folder / f"{worker}.msgpack"
        self._recorder = recorder
        self._writing = Lock()  # a loop that is cancelled leaves its write to end in its thread

    def restore(self) -> None:
        """Go on from the totals of the process before."""
        numbers = _read(self._path)
        if numbers is not None:
            recorder = self._recorder
            recorder.routes, recorder.apps, recorder.codes = numbers.routes, numbers.apps, numbers.codes
            recorder.counters = {name: labels for name, labels in numbers.counters.items() if name in COUNTERS}

    async def keep(self) -> None:
        """Write until cancelled."""
        while True:
            started = time.monotonic()
            await asyncio.to_thread(self._store, self._numbers())
            await asyncio.sleep(min(max(_EVERY_S, (time.monotonic() - started) / _SHARE), _LONGEST_S))

    def write(self) -> None:
        """The last figures, when requests have ended."""
        self._store(self._numbers())

    def _numbers(self) -> Numbers:
        recorder = self._recorder
        recorder.fold()
        gauges = {name: float(read()) for name, read in recorder.gauges.items() if name in GAUGES}
        now_ms = int(time.time() * 1000)
        # Shallow copies: a fold puts new rows into the dictionaries and never changes a row in place.
        counters = {name: dict(labels) for name, labels in recorder.counters.items()}
        routes, apps, codes = dict(recorder.routes), dict(recorder.apps), dict(recorder.codes)
        return Numbers(os.getpid(), now_ms, WIDTH, routes, apps, codes, counters, gauges)

    def _store(self, numbers: Numbers) -> None:
        with self._writing:
            self._replace(msgspec.msgpack.encode(numbers))

    def _replace(self, data: bytes) -> None:
        draft = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(self._path)  # a reader sees the old file or the new one, never half
        except OSError as error:
            _log.warning("the metrics file can't be written", path=str(self._path), error=str(error))


def _read(path: Path) -> Numbers | None:
    """None where there is no file, or one that is not ours."""
    try:
        numbers = msgspec.msgpack.decode(path.read_bytes(), type=Numbers)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("a metrics file can't be read and counts as empty", path=str(path), error=str(error))
        return None
    rows = [*numbers.routes.values(), *numbers.apps.values()]
    return numbers if numbers.edges == WIDTH and all(len(row) == WIDTH for row in rows) else None


def exposition(folder: Path) -> bytes:
    """All workers of this node, added up. Reads files: call it off the event loop."""
    found = [numbers for path in sorted(folder.glob("*.msgpack")) if (numbers := _read(path)) is not None]
    oldest_ms = (time.time() - _LIVE_S) * 1000
    live = [numbers for numbers in found if numbers.written_ms >= oldest_ms]
    lines: list[str] = []
    routes, apps = _sum(each.routes for each in found), _sum(each.apps for each in found)
    _rows(lines, "zhiyun_gateway", "route", "route or service", routes)
    _rows(lines, "zhiyun_gateway_app", "app", "app", apps)
    _cached(lines, routes)
    codes = _counted(each.codes for each in found)
    _family(lines, "zhiyun_gateway_refused_total", "counter", "Refusals and failures by their code (docs/errors.md)")
    lines += [f'zhiyun_gateway_refused_total{{code="{_escaped(code)}"}} {count}' for code, count in sorted(codes.items())]
    for name, (label, text) in COUNTERS.items():
        _family(lines, f"zhiyun_gateway_{name}_total", "counter", text)
        counts = _counted(each.counters.get(name, {}) for each in found)
        lines += [f'zhiyun_gateway_{name}_total{{{label}="{_escaped(of)}"}} {count}' for of, count in sorted(counts.items())]
    for name, text in GAUGES.items():
        _family(lines, f"zhiyun_gateway_{name}", "gauge", text)
        lines.append(f"zhiyun_gateway_{name} {sum(each.gauges.get(name, 0.0) for each in live):g}")
    _family(lines, "zhiyun_gateway_workers", "gauge", "Workers of this node that are alive")
    lines.append(f"zhiyun_gateway_workers {len(live)}")
    return ("\n".join(lines) + "\n").encode()


class MetricsEndpoint:
    """`GET /metrics` for a gateway without a back office beside it, on an address of its own: it needs no login."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, request: Request) -> Response:
        return Response(200, [("Content-Type", CONTENT_TYPE)], await asyncio.to_thread(exposition, self._folder))


def _rows(lines: list[str], prefix: str, label: str, what: str, totals: dict[str, Row]) -> None:
    """Requests by class of status, bytes, and the histogram, for each label."""
    named = [(f'{label}="{_escaped(name)}"', row) for name, row in sorted(totals.items())]

    def counter(name: str, text: str, samples: Callable[[str, Row], Iterator[tuple[str, int]]]) -> None:
        _family(lines, f"{prefix}_{name}_total", "counter", text)
        lines.extend(
            f"{prefix}_{name}_total{{{labels}}} {value}" for one, row in named for labels, value in samples(one, row) if value
        )

    def by_class(one: str, row: Row) -> Iterator[tuple[str, int]]:
        return ((f'{one},status="{digit}xx"', row[digit]) for digit in range(1, CLASSES))

    counter("requests", f"Answers by {what} and class of status", by_class)
    counter("received_bytes", f"Bytes of request bodies by {what}", lambda one, row: iter([(one, row[IN])]))
    counter("sent_bytes", f"Bytes of answer bodies by {what}", lambda one, row: iter([(one, row[OUT])]))
    family = f"{prefix}_request_seconds"
    _family(lines, family, "histogram", f"Time from the request's head to the answer's end by {what}")
    for one, row in named:
        _histogram(lines, family, one, row)


def _histogram(lines: list[str], family: str, label: str, row: Row) -> None:
    for position in _SHOWN:
        below = sum(row[LATENCIES : LATENCIES + position + 1])
        lines.append(f'{family}_bucket{{{label},le="{EDGES_S[position]:g}"}} {below}')
    total = sum(row[LATENCIES:])
    lines.append(f'{family}_bucket{{{label},le="+Inf"}} {total}')
    lines.append(f"{family}_sum{{{label}}} {row[MICROSECONDS] / 1e6:g}")
    lines.append(f"{family}_count{{{label}}} {total}")


def _cached(lines: list[str], routes: dict[str, Row]) -> None:
    _family(lines, "zhiyun_gateway_cache_total", "counter", "Answers of the response cache by how they came about")
    for route, row in sorted(routes.items()):
        counts = [(verdict, row[place]) for verdict, place in VERDICTS.items() if row[place]]
        lines += [f'zhiyun_gateway_cache_total{{route="{_escaped(route)}",verdict="{each}"}} {count}' for each, count in counts]


def _family(lines: list[str], name: str, kind: str, text: str) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _sum(parts: Iterable[dict[str, Row]]) -> dict[str, Row]:
    totals: dict[str, Row] = {}
    for part in parts:
        for name, row in part.items():
            known = totals.get(name)
            totals[name] = row if known is None else [one + two for one, two in zip(known, row, strict=True)]
    return totals


def _counted(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            totals[name] = totals.get(name, 0) + count
    return totals
