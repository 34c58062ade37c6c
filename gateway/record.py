"""Counts every request once, at its end: one row of plain integers for each pair of route and app that was active lately.

Rows are folded about once a second into totals for each route and each app, which `metrics` shows, and into the apps' usage. What a
request costs here is one look-up and a handful of additions.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.http1.message import Request
from gateway.traffic import EDGES_MS, Traffic

EDGES_S = tuple(edge / 1000 for edge in EDGES_MS)
# A row: answers by the first digit of their status, then these, then answers by latency.
CLASSES = 6
IN, OUT, MICROSECONDS, LIMITED, HIT, STALE, REVALIDATED, MISS = range(CLASSES, CLASSES + 8)
LATENCIES = MISS + 1
WIDTH = LATENCIES + len(EDGES_S) + 1
VERDICTS = {"hit": HIT, "stale": STALE, "revalidated": REVALIDATED, "miss": MISS}
OTHER, NOBODY, NOWHERE = "(other)", "", "(none)"  # no resource has such a name
MAX_APPS, MAX_CODES, MAX_ROWS = 1000, 200, 4096
_EMPTY = (0,) * WIDTH
_EDGES_US = tuple(round(edge * 1000) for edge in EDGES_MS)
_IN, _OUT, _US, _LATENCIES = IN, OUT, MICROSECONDS, LATENCIES  # C numbers in the compiled build, which others can't import
_STEP_US, _STEPS = 50, 1000  # every edge is a multiple of a step: below 50 ms a table says what a search would find
_PLACES = bytes(bisect_left(_EDGES_US, step * _STEP_US) for step in range(_STEPS))

Row = list[int]


class UsageSink(Protocol):
    """Where an app's share of the counts goes (gateway.usage.UsageMeter)."""

    def add(self, app: str, route: str, row: Row) -> None: ...


class Recorder:
    """One for each worker. `on_end` is called once for every answered request, also for those that no route took.

    `routes` and `apps` are totals since the first start on this data folder (`restore`), in bounded sets of labels: the routes of
    the snapshot, whose gone ones become `(other)`, and the first 1000 apps. `codes` counts refusals and failures by their code.
    """

    def __init__(self, usage: UsageSink | None = None) -> None:
        self.routes: dict[str, Row] = {}
        self.apps: dict[str, Row] = {}
        self.codes: dict[str, int] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.gauges: dict[str, Callable[[], float]] = {}
        self.traffic = Traffic(self.fold)
        self._rows: dict[tuple[str, str], Row] = {}
        self._route, self._app = "", ""
        self._row: Row = []
        self.usage = usage

    def on_end(self, request: Request) -> None:
        pipe, identity = request.pipe, request.identity
        route = NOWHERE if pipe is None else pipe.name
        app = NOBODY if identity is None else identity.app
        is_as_before = route is self._route and app is self._app
        row = self._row if is_as_before else self._row_of(route, app)
        took_us = int((request.ended - request.started) * 1e6)
        status = request.status
        row[status // 100 if status < 600 else 5] += 1  # RFC 9110 §15
        if request.received_bytes:
            row[_IN] += request.received_bytes
        row[_OUT] += request.sent_bytes
        row[_US] += took_us
        step = (took_us + _STEP_US - 1) // _STEP_US
        row[_LATENCIES + (_PLACES[step] if 0 <= step < _STEPS else bisect_left(_EDGES_US, took_us))] += 1
        if request.error_code:
            self._refused(request, row)
        attributes = request._attributes  # the property would make a dictionary for each request
        if attributes is not None and (verdict := attributes.get("cache")) is not None:
            row[VERDICTS[verdict]] += 1

    def _row_of(self, route: str, app: str) -> Row:
        key = (route, app)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= MAX_ROWS:
                self.fold()
            row = self._rows[key] = list(_EMPTY)
        self._route, self._app, self._row = route, app, row
        return row

    def _refused(self, request: Request, row: Row) -> None:
        if request.status == 429:
            row[LIMITED] += 1
        code = request.error_code if request.error_code in self.codes or len(self.codes) < MAX_CODES else OTHER
        self.codes[code] = self.codes.get(code, 0) + 1

    def count(self, name: str, label: str, amount: int = 1) -> None:
        """Something rare that has no place in a row: one of `metrics.COUNTERS`. Labels come from the snapshot: a bounded set."""
        labels = self.counters.setdefault(name, {})
        labels[label] = labels.get(label, 0) + amount

    def fold(self) -> None:
        """The rows into the totals, the window of `traffic`, and the usage."""
        rows, self._rows = self._rows, {}
        self._route = self._app = ""
        latencies, errors = [0] * (len(EDGES_S) + 1), 0
        for (route, app), row in rows.items():
            _add(self.routes, route, row)
            if app:
                _add(self.apps, app if app in self.apps or len(self.apps) < MAX_APPS else OTHER, row)
                if self.usage is not None:
                    self.usage.add(app, route, row)
            latencies = [one + two for one, two in zip(latencies, row[LATENCIES:], strict=True)]
            errors += row[5]
        self.traffic.absorb(latencies, errors)

    def follow(self, names: Iterable[str]) -> None:
        """A snapshot was loaded: these are its routes, services and endpoints. What is gone is counted as `(other)` from now on."""
        self.fold()
        kept = {*names, OTHER, NOWHERE}
        for name in [each for each in self.routes if each not in kept]:
            _add(self.routes, OTHER, self.routes.pop(name))


def _add(totals: dict[str, Row], name: str, row: Row) -> None:
    total = totals.get(name)
    totals[name] = list(row) if total is None else [one + two for one, two in zip(total, row, strict=True)]
