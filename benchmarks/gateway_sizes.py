"""What a gateway holds: memory of idle connections and of big bodies; and how long 10,000 routes take to look up and to load."""

import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable

from benchmarks.gateway_load import memory_kb
from benchmarks.gateway_peers import Place, running_ours
from benchmarks.report import Goal, Table
from config.upstreams import Endpoint, Match, Route, Upstream
from gateway.http1.forward import Forward
from gateway.http1.message import made_request
from gateway.pipe import Pipe
from gateway.pipeline import resting_collector
from gateway.router import Router
from gateway.upstream.upstream import Upstreams

_PIECE = 1 << 18
_ROUTES = 10_000


def idle_connections(place: Place, count: int, token: str) -> tuple[Table, list[Goal]]:
    """Keep-alive connections that have had one answer each, and now say nothing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, max(count * 2, 4096)) if most > 0 else count * 2, most))
    request = f"GET /api/v1/items HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with running_ours(place) as (port, pids):
        _asked(port, request, 200)  # what is made once is made
        before = _all(pids)
        held = _asked(port, request, count)
        time.sleep(1.0)
        after = _all(pids)
        for each in held:
            each.close()
    per_connection = round((after - before) / count, 2)
    rows: list[tuple[object, ...]] = [(count, round(before / 1024, 1), round(after / 1024, 1), per_connection)]
    table = Table("idle keep-alive connections", ("connections", "before, MB", "after, MB", "KB each"), rows)
    return table, [Goal("memory of an idle connection", "KB", 8.0, per_connection, "<=")]


def _all(pids: Callable[[], list[int]]) -> int:
    return sum(map(memory_kb, pids()))


def _asked(port: int, request: bytes, count: int) -> list[socket.socket]:
    held = []
    for number in range(count):
        each = socket.create_connection(("127.0.0.1", port), 10)
        each.sendall(request)
        answer = each.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"connection {number}: {answer[:80]!r}")
        held.append(each)
    return held


def big_bodies(place: Place, size: int, token: str) -> tuple[Table, list[Goal]]:
    """A body of `size` bytes from the upstream, then one to it; the most memory meanwhile, seen each 20 ms."""
    with (place.folder / "big.bin").open("wb") as file:
        file.truncate(size)
    rows: list[tuple[object, ...]] = []
    rises = []
    with running_ours(place) as (port, pids):
        _asked(port, f"GET /api/v1/items HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode(), 50)
        for way, move in (("down", _download), ("up", _upload)):
            before = _all(pids)
            with _Peak(pids) as peak:
                seconds = move(port, token, size)
            rises.append(round((peak.most - before) / 1024, 1))
            rows.append((way, round(size / 1e9, 2), round(before / 1024, 1), rises[-1], round(size / 1e6 / seconds)))
    table = Table("a streamed body", ("way", "GB", "memory before, MB", "rise, MB", "MB/s"), rows)
    return table, [Goal(f"memory's rise by {size / 1e9:.2f} GB, the worse way", "MB", 10.0, max(rises), "<=")]


class _Peak:
    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.most = 0
        self._pids = pids
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, _all(self._pids))

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def _download(port: int, token: str, size: int) -> float:
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(f"GET /api/v1/big HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(_PIECE)
        front, _, rest = head.partition(b"\r\n\r\n")
        if not front.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the big body: {front[:80]!r}")
        left, buffer = size - len(rest), bytearray(_PIECE)
        while left and (got := connection.recv_into(buffer)):
            left -= got
    if left:
        raise RuntimeError(f"{left} bytes of the big body did not come")
    return time.perf_counter() - started


def _upload(port: int, token: str, size: int) -> float:
    started = time.perf_counter()
    piece = bytes(_PIECE)
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        front = f"POST /api/v1/sink HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(front.encode())
        for _ in range(size // _PIECE):
            connection.sendall(piece)
        answer = connection.recv(4096)
        while not answer.endswith(str(size).encode()):
            more = connection.recv(4096)
            if not more:
                raise RuntimeError(f"the big body was not taken: {answer[:200]!r}")
            answer += more
    return time.perf_counter() - started


def routing() -> tuple[Table, list[Goal]]:
    """Look-ups among 10,000 routes, and the time to make their router and pipes anew."""
    loads, looks = [], []
    for _ in range(5):
        started = time.perf_counter()
        with resting_collector():
            router = many_routes(_ROUTES)
        loads.append((time.perf_counter() - started) * 1000)
        requests = [made_request("GET", f"/teams/{number}/items/7") for number in range(0, _ROUTES, 5)]
        started = time.perf_counter()
        for request in requests:
            router.find(request)
        looks.append((time.perf_counter() - started) / len(requests) * 1e6)
    load, look = round(statistics.median(loads), 1), round(statistics.median(looks), 2)
    rows: list[tuple[object, ...]] = [("look-up", look, "µs"), ("making the router and all pipes anew", load, "ms")]
    goals = [
        Goal("look-up among 10,000 routes", "µs", 5.0, look, "<="),
        Goal("router of 10,000 routes made", "ms", 200.0, load, "<="),
    ]
    return Table("10,000 routes", ("what", "measured", "unit"), rows), goals


def many_routes(count: int) -> Router:
    """Routes of one upstream with a fixed and a variable segment each."""
    upstreams = Upstreams()
    upstreams.reload({"up": Upstream(endpoints=(Endpoint(url="http://127.0.0.1:9"),))})
    routes = ((f"r{number}", Route(match=Match(path=f"/teams/{number}/items/{{id}}"), upstream="up")) for number in range(count))
    return Router([(route.match, Pipe(name, (), kind="route", proxy=Forward(name, route, upstreams))) for name, route in routes])
