"""The gateway's benchmark: what it reads out of wrk, what it compares, and that every peer does the work it is credited with."""

import asyncio
import socket
from pathlib import Path

import pytest

from benchmarks import gateway_report
from benchmarks.gateway_load import Run, cpu_us, filled, make_tokens, memory_kb, parsed
from benchmarks.gateway_pace import Pace
from benchmarks.gateway_peers import PEERS_BY_NAME, Place, missing, running, running_ours, upstream
from benchmarks.gateway_soak import slope_kb

_WRK = """Running 4s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.87ms    2.02ms  40.71ms   70.99%
    Req/Sec    16.86k     1.60k   20.39k    70.00%
  Latency Distribution
     50%  870.00us
     75%    4.49ms
     90%    5.48ms
     99%    1.20s
  67419 requests in 4.02s, 28.07MB read
Requests/sec:  16770.90
Transfer/sec:      6.98MB
"""


def _run(
    name: str, turn: int, cpu: float, *, kind: str = "unique", steal: float = 0.0, failures: int = 0, foreign: float = 0.0
) -> Run:
    return Run(name, kind, turn, 1000, 5000.0, 1.0, 2.0, cpu, steal, 1.0, failures, foreign)


def test_figures_are_read_out_of_what_wrk_prints() -> None:
    assert parsed(_WRK) == (67419, 16770.90, 0.87, 1200.0, 0)


def test_other_statuses_and_socket_errors_are_failures() -> None:
    text = _WRK.replace(
        "Requests/sec", "  Socket errors: connect 1, read 2, write 0, timeout 4\n  Non-2xx or 3xx responses: 30\nRequests/sec"
    )
    assert parsed(text)[4] == 37


def test_an_output_without_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parsed("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_ratio_is_of_one_round_and_the_median_of_rounds() -> None:
    # The machine is three times as slow in the second round: the ratio stays.
    runs = [
        _run("ours", 0, 9.0),
        _run("nginx+Lua", 0, 10.0),
        _run("ours", 1, 27.0),
        _run("nginx+Lua", 1, 30.0),
        _run("ours", 2, 50.0),
    ]
    assert gateway_report.ratio(runs, "ours", "nginx+Lua", "unique") == 0.9


def test_rounds_that_others_took_from_do_not_count_where_three_are_clean() -> None:
    runs = [_run(name, turn, 10.0) for turn in range(3) for name in ("ours", "nginx+Lua")]
    runs += [_run("ours", turn, 99.0, steal=0.2) for turn in range(3, 6)] + [
        _run("ours", turn, 99.0, foreign=0.2) for turn in range(6, 9)
    ]
    runs += [_run("nginx+Lua", turn, 1.0) for turn in range(3, 9)]
    assert gateway_report.ratio(runs, "ours", "nginx+Lua", "unique") == 1.0


def test_a_table_says_how_many_runs_were_clean_and_whether_all_are_shown() -> None:
    runs = [_run("ours", 0, 10.0), _run("ours", 1, 20.0, steal=0.5), _run("ours", 2, 30.0, failures=3)]
    table = gateway_report.table(runs, "unique", ("ours", "absent"), "title")
    assert table is not None
    assert [(row[0], row[4], row[5], row[9], row[10]) for row in table.rows] == [("ours", 15.0, 10.0, "1/3 (all shown)", 3)]


def test_goals_are_judged_by_what_was_measured_alone() -> None:
    runs = [_run(name, turn, cpu) for turn in range(3) for name, cpu in (("ours", 9.5), ("nginx+Lua", 10.0))]
    assert [(goal.name.partition(":")[0], goal.value, goal.met) for goal in gateway_report.goals(runs)] == [
        ("CPU to nginx+Lua, unique", 0.95, False),
        ("p99 to nginx+Lua, unique", 1.0, True),
    ]


def test_growth_is_told_from_a_single_step() -> None:
    growing = [(float(second), 50_000 + 10 * second) for second in range(120)]
    stepped = [(float(second), 50_000 + (400 if second > 90 else 0)) for second in range(120)]
    assert slope_kb(growing) == pytest.approx(600)
    assert slope_kb(stepped) == 0.0


def test_a_template_s_unknown_name_is_an_error() -> None:
    assert filled("listen @PORT@; $host @", {"PORT": "1"}) == "listen 1; $host @"
    with pytest.raises(KeyError):
        filled("@NOBODY@", {})


def test_this_process_has_used_cpu_and_memory(tmp_path: Path) -> None:
    own = int(Path("/proc/self").resolve().name)
    before = cpu_us([own])
    make_tokens("ak", "s" * 40, 2000, tmp_path / "tokens")
    assert cpu_us([own]) > before
    assert memory_kb(own) > 1000
    assert len(set((tmp_path / "tokens").read_text().split())) == 2000


async def test_the_pace_is_kept_and_every_way_to_fail_is_counted() -> None:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                count += 1
                if count == 50:
                    writer.transport.abort()
                    return
                status = b"503 Busy" if count == 60 else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(b"ok")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pace = Pace(server.sockets[0].getsockname()[1], [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], per_s=200, connections=4)
    await pace.run(0.5)
    server.close()
    await server.wait_closed()
    assert pace.sent == count
    assert 60 < pace.sent <= 100
    assert pace.statuses == {200: pace.sent - 2, 503: 1}
    assert pace.failed() == 2
    assert pace.reopened == 1


def _status(port: int, token: str) -> bytes:
    fields = f"Authorization: Bearer {token}\r\n" if token else ""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(f"GET /api/v1/items/7 HTTP/1.1\r\nHost: api.example.test\r\n{fields}Connection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert (b'"widget"' in answer) == (answer[9:12] == b"200")  # the upstream's own body, not a default page
    return answer[9:12]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    make_tokens("ak_test", "0123456789abcdef-0123456789abcdef_test", 1, tmp_path / "good")
    make_tokens("ak_test", "another-secret-another-secret-another", 1, tmp_path / "forged")
    return Place(tmp_path, 0, "ak_test", "0123456789abcdef-0123456789abcdef_test", core="0,1")


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize("name", [*PEERS_BY_NAME, "ours"])
def test_a_peer_does_the_work_it_is_credited_with(name: str, place: Place) -> None:
    if PEERS_BY_NAME.get(name) is not None and PEERS_BY_NAME[name].module:
        pytest.skip("modules of npm's are fetched by the benchmark alone")
    for needed in {"nginx", name} & PEERS_BY_NAME.keys():
        if reason := missing(needed):
            pytest.skip(reason)
    good, forged = ((place.folder / each).read_text().strip() for each in ("good", "forged"))
    with upstream(place.folder) as port:
        here = Place(place.folder, port, place.key, place.secret, core=place.core)
        with running_ours(here) if name == "ours" else running(name, here) as (gateway, pids):
            assert _status(gateway, good) == b"200"
            if name == "ours" or PEERS_BY_NAME[name].does_all:
                assert _status(gateway, forged) == b"401"
                assert _status(gateway, "") == b"401"
            assert pids()
