"""Workers' files added up, in a text that Prometheus' own parser takes."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import COUNTERS, GAUGES, MetricsEndpoint, MetricsFile, Numbers, exposition
from gateway.record import Recorder
from tests.gateway.observed import ended
from tests.gateway.rig import until

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(folder: Path) -> Samples:
    families = list(text_string_to_metric_families(exposition(folder).decode()))
    assert all(family.documentation and family.type in ("counter", "gauge", "histogram") for family in families)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"zhiyun_gateway_{name}", tuple(sorted(labels.items()))))


def worker(folder: Path, name: str, *, requests: int = 1) -> tuple[Recorder, MetricsFile]:
    recorder = Recorder()
    file = MetricsFile(folder, name, recorder)
    file.restore()
    for _ in range(requests):
        recorder.on_end(ended(cache="hit"))
    file.write()
    return recorder, file


def test_all_workers_are_added_up(tmp_path: Path) -> None:
    worker(tmp_path, "0", requests=3)
    recorder, file = worker(tmp_path, "1", requests=2)
    recorder.on_end(ended(status=503, code="unavailable", app="desk", took_s=0.3))
    recorder.count("upstream_failures", "goods")
    recorder.gauges["connections"] = lambda: 7
    file.write()
    found = samples(tmp_path)
    assert value(found, "requests_total", route="customers", status="2xx") == 5
    assert value(found, "requests_total", route="customers", status="5xx") == 1
    assert value(found, "app_requests_total", app="shop", status="2xx") == 5
    assert value(found, "received_bytes_total", route="customers") == 60
    assert value(found, "sent_bytes_total", route="customers") == 600
    assert value(found, "request_seconds_bucket", route="customers", le="0.002") == 0
    assert value(found, "request_seconds_bucket", route="customers", le="0.005") == 5
    assert value(found, "request_seconds_bucket", route="customers", le="+Inf") == 6
    assert value(found, "request_seconds_count", route="customers") == 6
    seconds = value(found, "request_seconds_sum", route="customers")
    assert seconds is not None
    assert abs(seconds - 0.32) < 0.001
    assert value(found, "cache_total", route="customers", verdict="hit") == 5
    assert value(found, "refused_total", code="unavailable") == 1
    assert value(found, "upstream_failures_total", upstream="goods") == 1
    assert (value(found, "connections"), value(found, "workers")) == (7, 2)


def test_a_worker_that_starts_again_goes_on_counting(tmp_path: Path) -> None:
    worker(tmp_path, "0", requests=3)
    worker(tmp_path, "0", requests=2)
    assert value(samples(tmp_path), "requests_total", route="customers", status="2xx") == 5


def test_a_worker_that_is_gone_still_counts_but_its_gauges_do_not(tmp_path: Path) -> None:
    recorder, file = worker(tmp_path, "0", requests=3)
    recorder.gauges["connections"] = lambda: 7
    file.write()
    path = tmp_path / "0.msgpack"
    old = msgspec.msgpack.decode(path.read_bytes(), type=Numbers)
    old.written_ms -= 6000
    path.write_bytes(msgspec.msgpack.encode(old))
    found = samples(tmp_path)
    assert value(found, "requests_total", route="customers", status="2xx") == 3
    assert (value(found, "connections"), value(found, "workers")) == (0, 0)


def test_files_that_are_not_ours_count_nothing(tmp_path: Path) -> None:
    worker(tmp_path, "0", requests=3)
    (tmp_path / "1.msgpack").write_bytes(b"\xc1 not msgpack")
    (tmp_path / "2.msgpack").write_bytes(msgspec.msgpack.encode(Numbers(1, 2, 3, routes={"a": [1]})))
    (tmp_path / "3.new").write_bytes(b"")
    assert value(samples(tmp_path), "requests_total", route="customers", status="2xx") == 3
    assert value(samples(tmp_path / "none"), "workers") == 0


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    recorder, file = worker(tmp_path, "0", requests=0)
    recorder.on_end(ended(app='a"b\\c\nd', code='"\n'))
    file.write()
    found = samples(tmp_path)
    assert value(found, "app_requests_total", app='a"b\\c\nd', status="2xx") == 1
    assert value(found, "refused_total", code='"\n') == 1


def test_what_may_be_counted_is_declared(tmp_path: Path) -> None:
    recorder, file = worker(tmp_path, "0", requests=0)
    for name in COUNTERS:
        recorder.count(name, "x", 2)
    for name in GAUGES:
        recorder.gauges[name] = lambda: 2.5
    file.write()
    found = samples(tmp_path)
    assert [value(found, f"{name}_total", **{label: "x"}) for name, (label, _) in COUNTERS.items()] == [2] * len(COUNTERS)
    assert [value(found, name) for name in GAUGES] == [2.5] * len(GAUGES)


async def test_a_gateway_tells_of_itself(tmp_path: Path) -> None:
    worker(tmp_path, "0")
    answer = await MetricsEndpoint(tmp_path)(ended())
    assert answer.header("content-type").startswith("text/plain; version=0.0.4")
    assert b'zhiyun_gateway_requests_total{route="customers",status="2xx"} 1' in answer.body


async def test_a_disk_that_is_slow_does_not_make_a_worker_look_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.metrics._SHARE", 1e-12)  # each write has taken far too long
    monkeypatch.setattr("gateway.metrics._LONGEST_S", 0.01)
    path = tmp_path / "0.msgpack"
    loop = asyncio.ensure_future(MetricsFile(tmp_path, "0", Recorder()).keep())
    await until(path.exists)
    first = path.stat().st_mtime_ns
    await until(lambda: path.stat().st_mtime_ns != first)
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


async def test_the_loop_writes_and_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.on_end(ended())
    file = MetricsFile(tmp_path / "metrics", "0", recorder)
    loop = asyncio.ensure_future(file.keep())
    await until(lambda: (tmp_path / "metrics" / "0.msgpack").exists())
    assert value(samples(tmp_path / "metrics"), "requests_total", route="customers", status="2xx") == 1
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    assert os.stat(tmp_path / "metrics").st_mode & 0o077 == 0
    (tmp_path / "file").write_bytes(b"")
    MetricsFile(tmp_path / "file", "0", recorder).write()
