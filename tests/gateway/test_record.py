"""What is counted of each request, in bounded sets of labels."""

import pytest

from gateway.record import (
    CLASSES,
    HIT,
    IN,
    LIMITED,
    MAX_APPS,
    MAX_CODES,
    MAX_ROWS,
    MICROSECONDS,
    NOWHERE,
    OTHER,
    OUT,
    VERDICTS,
    Recorder,
    Row,
)
from tests.gateway.observed import ended


class Sink:
    def __init__(self) -> None:
        self.added: list[tuple[str, str, Row]] = []

    def add(self, app: str, route: str, row: Row) -> None:
        self.added.append((app, route, row))


def test_each_request_is_counted_by_route_and_app() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    for request in (
        ended(cache="hit"),
        ended(app="desk", status=503, code="unavailable"),
        ended(status=429, code="rate_limited"),
        ended(route="points", app=None, status=404),
        ended(route=None, app=None, status=400, code="invalid_input", took_s=0),
        ended(status=999),
    ):
        recorder.on_end(request)
    recorder.fold()
    customers = recorder.routes["customers"]
    assert customers[:CLASSES] == [0, 0, 1, 0, 1, 2]
    assert (customers[IN], customers[OUT]) == (40, 400)
    assert abs(customers[MICROSECONDS] - 16_000) <= 4
    assert (customers[LIMITED], customers[HIT]) == (1, 1)
    assert set(recorder.routes) == {"customers", "points", NOWHERE}
    assert {app: sum(row[:CLASSES]) for app, row in recorder.apps.items()} == {"shop": 3, "desk": 1}
    assert recorder.codes == {"unavailable": 1, "rate_limited": 1, "invalid_input": 1}
    assert [(app, route, sum(row[:CLASSES])) for app, route, row in sink.added] == [
        ("shop", "customers", 3),
        ("desk", "customers", 1),
    ]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_of_the_cache_has_its_place(verdict: str) -> None:
    recorder = Recorder()
    recorder.on_end(ended(cache=verdict))
    recorder.fold()
    assert {each: recorder.routes["customers"][place] for each, place in VERDICTS.items()} == {
        each: int(each == verdict) for each in VERDICTS
    }


def test_the_heartbeats_window_is_what_was_recorded() -> None:
    recorder = Recorder()
    for _ in range(99):
        recorder.on_end(ended(took_s=0.0009))
    recorder.on_end(ended(took_s=0.180, status=502))
    assert recorder.traffic.window(2.0) == (50.0, 1.0, 1.0)
    assert (recorder.traffic.requests, recorder.traffic.errors) == (100, 1)
    assert recorder.traffic.window(1.0) == (0.0, 0.0, 0.0)


def test_labels_are_bounded_and_nothing_is_lost() -> None:
    recorder = Recorder()
    count = MAX_ROWS + 10
    for number in range(count):
        recorder.on_end(ended(app=f"app{number}", code=f"code{number}"))
    recorder.fold()
    assert len(recorder.apps) == MAX_APPS + 1
    assert sum(row[2] for row in recorder.apps.values()) == count
    assert recorder.apps[OTHER][2] == count - MAX_APPS
    assert len(recorder.codes) == MAX_CODES + 1
    assert sum(recorder.codes.values()) == count


def test_routes_that_are_gone_go_on_counting_together() -> None:
    recorder = Recorder()
    for route in ("a", "b", "c"):
        recorder.on_end(ended(route=route))
    recorder.follow(["a"])
    assert {route: row[2] for route, row in recorder.routes.items()} == {"a": 1, OTHER: 2}
    recorder.follow([])
    assert {route: row[2] for route, row in recorder.routes.items()} == {OTHER: 3}
