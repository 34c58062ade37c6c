"""The access log in a real folder: its lines, what can't break them, rotation, and what happens where it can't be written."""

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import access_log
from gateway.access_log import AccessLog, AccessLogSettings, shown_target, tail
from gateway.identity import Identity
from gateway.stage import Request
from tests.gateway.desk import request_of
from tests.gateway.observed import ended
from tests.gateway.rig import until

NOON = 1_700_000_000.25


def log_of(folder: Path, worker: str = "0", **more: object) -> AccessLog:
    return AccessLog(folder, worker, AccessLogSettings(**more), wall=lambda: NOON)  # type: ignore[arg-type]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_line_has_what_one_looks_for_and_no_secret(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    request = ended("/v1/customers/K1?phone=13800000000&token=secret", status=503, took_s=0.25, code="unavailable", cache="miss")
    request.trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request.upstream = "http://10.0.0.7:9000"
    request.upstream_s = 0.125
    log.on_end(request)
    log.close()
    (line,) = lines(tmp_path / "access-0.log")
    assert msgspec.json.decode(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "id": request.request_id,
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "client": "127.0.0.1",
        "app": "shop",
        "route": "customers",
        "method": "GET",
        "path": "/v1/customers/K1",
        "status": 503,
        "in": 10,
        "out": 100,
        "us": 250_000,
        "upstream": "http://10.0.0.7:9000",
        "upstream_us": 125_000,
        "cache": "miss",
        "error": "unavailable",
    }
    assert "1380000" not in line
    assert "secret" not in line


def test_the_combined_format_is_what_other_tools_read(tmp_path: Path) -> None:
    log = log_of(tmp_path, form="combined")
    request = ended("/a?b=1")
    request._headers = {"user-agent": 'curl "8"\\\r\n', "referer": "https://x/y?secret=1"}
    log.on_end(request)
    log.close()
    (line,) = lines(tmp_path / "access-0.log")
    pattern = (
        r'127\.0\.0\.1 - shop \[14/Nov/2023:22:13:20 \+0000\] "GET /a\?b HTTP/1\.1" 200 100 "https://x/y" "([^"]*)" (\S+) 0\.004'
    )
    found = re.fullmatch(pattern, line)
    assert found
    assert found[1] == r"curl \x228\x22\x5C\x0D\x0A"
    assert found[2] == request.request_id


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/a", "/a"),
        (b"/a?", "/a?"),
        (b"/a?b=c&d&=e&f=g=h", "/a?b&d&&f"),
        (b"/a?" + b"&".join(b"n%d=v" % n for n in range(50)), "/a?" + "&".join(f"n{n}" for n in range(20))),
        (b"/a?" + b"n" * 5000 + b"=v", "/a?" + "n" * 200),
    ],
)
def test_of_a_query_the_names_are_shown(target: bytes, shown: str) -> None:
    assert shown_target(target) == shown


@settings(max_examples=200)
@given(
    st.binary(max_size=40),
    st.text(max_size=20),
    st.text(max_size=20),
    st.binary(max_size=60),
    st.sampled_from(["json", "combined"]),
)
def test_no_field_can_break_a_line(target: bytes, remote: str, upstream: str, trace: bytes, form: str) -> None:
    log = AccessLog(Path("nowhere"), "0", AccessLogSettings(form=form))  # type: ignore[arg-type]
    request = Request(b"GET", target, b"GET / HTTP/1.1\r\nuser-agent: " + target + b"\r\n\r\n", b"")
    request.remote, request.upstream, request.trace, request.identity = remote, upstream, trace, Identity(upstream, "k")
    request.request_id = "r"
    log.on_end(request)
    (data,) = log._take()
    assert data.count(b"\n") == 1
    assert not any(byte < 32 for byte in data[:-1])
    if form == "json":
        assert msgspec.json.decode(data)["upstream"] == upstream.encode(errors="replace").decode()


@pytest.mark.skipif(access_log._in_c is None, reason="the compiled build has a second way to make a line")
@given(
    st.text(alphabet='ab/?"\\\x7f é', max_size=40),
    st.text(alphabet="00af-é", max_size=60),
    st.integers(min_value=0, max_value=2**62),
    st.floats(min_value=0, max_value=1e6),
    st.sampled_from(["", "hit", "stale"]),
)
def test_both_ways_make_the_same_line(path: str, trace: str, count: int, took_s: float, cached: str) -> None:
    request = Request(b"GET", path.encode(), b"", b"")
    request.request_id, request.trace, request.ended, request.upstream_s = "r-1", trace.encode(), took_s, took_s / 3
    request.received_bytes, request.sent_bytes = count, count // 7
    assert access_log._in_c is not None
    quick = access_log._in_c(request, b"2026-11-26T00:00:00.000Z", b'"client":""', cached)
    slow = access_log._slowly(request, b"2026-11-26T00:00:00.000Z", b'"client":""', cached)
    assert quick in (slow, None)
    if path.isascii() and not set(path.partition("?")[0]) & set('"\\\x7f') and trace.isascii():
        assert quick is not None


def fill(log: AccessLog, count: int, **more: object) -> None:
    for _ in range(count):
        log.on_end(ended(**more))  # type: ignore[arg-type]


def test_files_are_rotated_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    log = log_of(tmp_path, max_bytes=1000, keep=2)
    for number in range(20):
        fill(log, 1, target=f"/number/{number}")
        log._write(log._take())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["access-0.log", "access-0.log.1", "access-0.log.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "/number/19" in lines(tmp_path / "access-0.log")[-1]
    kept = [line for name in ("access-0.log.2", "access-0.log.1", "access-0.log") for line in lines(tmp_path / name)]
    numbers = [int(msgspec.json.decode(line)["path"].rpartition("/")[2]) for line in kept]
    assert numbers == list(range(20))[-len(numbers) :]


def test_no_old_file_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    log = log_of(tmp_path, max_bytes=10, keep=0)
    for _ in range(3):
        fill(log, 1)
        log._write(log._take())
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["access-0.log"]
    assert len(lines(tmp_path / "access-0.log")) == 1


def test_a_process_that_was_killed_within_a_line_leaves_the_next_ones_whole(tmp_path: Path) -> None:
    (tmp_path / "access-0.log").write_bytes(b'{"time":"half a li')
    log = log_of(tmp_path)
    fill(log, 1)
    log.close()
    assert [line.get("route") for line in tail(tmp_path)] == ["customers"]


def test_a_full_buffer_drops_lines_and_counts_them(tmp_path: Path) -> None:
    told: list[int] = []
    log = AccessLog(tmp_path, "0", AccessLogSettings(buffer_bytes=2000), drops=told.append)
    fill(log, 20)
    log.close()
    assert log.dropped == sum(told) == 20 - len(lines(tmp_path / "access-0.log"))
    assert 0 < log.dropped < 20
    fill(log, 1)
    log.close()
    assert len(lines(tmp_path / "access-0.log")) == 21 - log.dropped


def test_a_share_is_logged_and_every_failure(tmp_path: Path) -> None:
    log = log_of(tmp_path, sample=0.2)
    fill(log, 1000)
    fill(log, 50, status=500)
    statuses = [msgspec.json.decode(line)["status"] for line in log._take()]
    assert statuses.count(500) == 50
    assert 120 < statuses.count(200) < 290


def test_a_folder_that_cannot_be_written_costs_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    log = log_of(tmp_path / "file")
    fill(log, 3)
    log.close()
    assert log.dropped == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_costs_lines_only(tmp_path: Path) -> None:
    (tmp_path / "access-0.log").symlink_to("/dev/full")
    log = log_of(tmp_path)
    fill(log, 3)
    assert not log._write(log._take())
    os.close(log._file)


async def test_the_loop_writes_what_came_within_its_time(tmp_path: Path) -> None:
    log = log_of(tmp_path, every_s=0.01)
    loop = asyncio.ensure_future(log.keep())
    fill(log, 3)
    written = tmp_path / "access-0.log"
    await until(lambda: written.exists() and written.read_bytes().count(b"\n") == 3)
    fill(log, 2)
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    log.close()
    assert len(lines(tmp_path / "access-0.log")) == 5
    assert (tmp_path / "access-0.log").stat().st_mode & 0o077 == 0


def test_the_tail_of_all_workers_in_order(tmp_path: Path) -> None:
    for worker, at in (("0", 3.0), ("1", 1.0), ("2", 2.0)):
        log = AccessLog(tmp_path, worker, wall=lambda at=at: NOON + at)  # type: ignore[misc]
        request = request_of("GET", f"/{worker}")
        log.on_end(request)
        log.close()
    (tmp_path / "access-3.log").write_bytes(b"x" * (300 << 10) + b'\n{"time":"9","path":"/last"}\n')
    assert [line["path"] for line in tail(tmp_path, limit=3)] == ["/2", "/0", "/last"]
    assert tail(tmp_path / "none") == []
