"""CPU per request of our code alone, no kernel: a real connection object and a real upstream connection on transports that only
remember what was written. `python -m benchmarks.hot_path [--quick] [--json] [--profile]`; ZHIYUN_PURE=1 for the other build.

Each step adds one part to the steps before it; what it costs is the difference.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gateway.http1
from benchmarks.gateway_load import make_tokens
from benchmarks.peers.ours import Options, engine_of, pipes, platform
from benchmarks.report import Goal, Report, Table, commit, machine, show
from cache.limiter_memory import MemoryLimiter
from gateway.access_log import AccessLog
from gateway.http1.inbound import Inbound
from gateway.http1.message import Request
from gateway.http1.outbound import Outbound
from gateway.record import Recorder
from gateway.stage import Stage
from gateway.upstream.upstream import Upstreams

FULL = "+ access log"
_KEY, _SECRET = "ak_hot", "a-secret-of-the-benchmark-and-of-nobody-else"
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Wed, 25 Nov 2026 23:07:16 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 204\r\nConnection: keep-alive\r\n\r\n" + b"x" * 204
)
_FIELDS = (
    "GET /api/v1/items/{}?page={} HTTP/1.1\r\nHost: api.example.test\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) client/1.4.2\r\n"
    "Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    "Cache-Control: no-cache\r\nReferer: https://app.example.test/list\r\ntraceparent: 00-{}{}-{}-01\r\nX-Request-Id: {}\r\n"
    "Authorization: Bearer {}\r\n\r\n"
)


class Transport:
    """Remembers the last write."""

    def __init__(self) -> None:
        self.written: Any = b""

    def write(self, data: Any) -> None:
        self.written = data

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.written = b"".join(parts)

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


def requests(tokens: Sequence[str], count: int) -> list[bytes]:
    """Heads that differ in path, query and ids; tokens in turn."""
    made = []
    for number in range(count):
        each = f"{random.getrandbits(64):016x}"
        path, page, token = random.randint(1, 100_000), random.randint(1, 9), tokens[number % len(tokens)]
        made.append(_FIELDS.format(path, page, each, each, each, each, token).encode())
    return made


def steps(folder: Path) -> list[tuple[str, list[Stage], tuple[Callable[[Request], None], ...]]]:
    """Name, the stages and the observers that are there from this step on."""
    options = Options(port=0, upstream=9, key=_KEY, secret=_SECRET, folder=str(folder))
    three = pipes(options, MemoryLimiter())
    eight = pipes(Options(port=0, upstream=9, key=_KEY, secret=_SECRET, folder=str(folder), stages=8), MemoryLimiter())
    recorder, log = Recorder().on_end, _Emptied(folder).on_end
    made: list[tuple[str, list[Stage], tuple[Callable[[Request], None], ...]]] = [("connection, parsing, proxying", [], ())]
    made += [(f"+ {stage.name}", list(three[: number + 1]), ()) for number, stage in enumerate(three)]
    made += [("+ metrics", list(three), (recorder,)), (FULL, list(three), (recorder, log))]
    others = [stage for stage in eight if stage.name not in {each.name for each in three}]
    made += [(f"+ {stage.name}", [*three, *others[: number + 1]], (recorder, log)) for number, stage in enumerate(others)]
    return made


class _Emptied:
    """An access log whose lines are thrown away in time: nothing is to be written here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._log = AccessLog(folder, "hot")

    def on_end(self, request: Request) -> None:
        self._log.on_end(request)
        self._count += 1
        if self._count % 1000 == 0:
            self._log._take()


class Way:
    """One connection of a client, one of an upstream, and what is between them."""

    def __init__(self, stages: Sequence[Stage], observers: tuple[Callable[[Request], None], ...], folder: Path) -> None:
        declared = platform(Options(port=0, upstream=9, key=_KEY, secret=_SECRET, folder=str(folder)))
        upstreams = Upstreams()
        upstreams.reload(declared.upstreams)
        self.engine = engine_of(declared, stages, upstreams, observers, _no_task)
        self._client = Transport()
        self._inbound = Inbound(self.engine)
        self._inbound.connection_made(self._client)
        endpoint = upstreams.get("up").endpoints[0]
        self._outbound = Outbound(endpoint, b"", 128)
        self._outbound.connection_made(Transport())
        self._outbound.release()

    def pass_all(self, heads: Sequence[bytes]) -> float:
        """µs of CPU per request. RuntimeError where the last answer is not the upstream's."""
        asked, answered = self._inbound.data_received, self._outbound.data_received
        started = time.process_time()
        for head in heads:
            asked(head)
            answered(_ANSWER)
        spent = time.process_time() - started
        if not bytes(self._client.written).endswith(b"x" * 204):
            raise RuntimeError(f"the last answer is not the upstream's: {bytes(self._client.written)[:300]!r}")
        return spent / len(heads) * 1e6


def _no_task(work: Any, name: str) -> Any:
    work.close()
    raise RuntimeError(f"{name}: nothing on this way should need a task")


async def _measure(folder: Path, turns: int, profile: bool) -> list[tuple[object, ...]]:
    make_tokens(_KEY, _SECRET, 1000, folder / "tokens")
    tokens = (folder / "tokens").read_text().split()
    heads = requests(tokens, 2000)
    ways = [(name, Way(stages, observers, folder)) for name, stages, observers in steps(folder)]
    gc.collect()
    gc.freeze()
    spent: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _ in range(turns + 1):
        for name, way in ways:
            spent[name].append(way.pass_all(heads))
    best = {name: min(each[1:]) for name, each in spent.items()}  # the first turn fills the memos; others only add time
    if profile:
        _profile(dict(ways)[FULL], heads)
    rows: list[tuple[object, ...]] = []
    before = 0.0
    for name, value in best.items():
        rows.append((name, round(value, 2), round(value - before, 2)))
        before = value
    return rows


def _profile(way: Way, heads: Sequence[bytes]) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    way.pass_all(heads)
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_path", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--profile", action="store_true", help="Python functions by their time, on standard error")
    options = parser.parse_args()
    about = {**machine(), "build": gateway.http1.BUILD}
    with tempfile.TemporaryDirectory(prefix="zhiyun-bench-") as name:
        rows = asyncio.run(_measure(Path(name), 5 if options.quick else 31, options.profile))
    table = Table(f"CPU per request, {gateway.http1.BUILD}", ("up to here", "µs", "more, µs"), rows)
    goal = Goal(
        "our code per request, authenticated, limited, metered, logged",
        "µs",
        10.0,
        next(float(str(row[1])) for row in rows if row[0] == FULL),
        "<=",
    )
    report = Report(
        "hot_path",
        options.quick,
        about,
        commit(),
        [table],
        [goal],
        ["the least of turns of 2,000 requests: what others of the machine do can only add"],
    )
    show(report, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
