"""Load at a fixed pace: keep-alive connections on one loop, each request sent when its time has come, every answer counted.

A connection that is reset or closed before its answer is a failure; one that the gateway closes between two requests is not
(RFC 9112 §9.3.1: a client must expect that) and is opened anew, which is counted.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence

_LATE_S = 10.0
_TICK_S = 0.005


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, pace: "Pace") -> None:
        self._pace = pace
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.sent_at = 0.0  # 0: nothing is asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._pace.free.append(self)

    def ask(self, request: bytes, now: float) -> None:
        assert self._transport is not None
        self.sent_at = now
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = _length(head)
        if len(body) < length:
            return
        self._buffer = b""
        self._pace.answered(self, int(head[9:12]), len(body) - length)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pace.lost(self, exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class Pace:
    """`per_s` requests a second to a port for as long as `run` is told. Afterwards: `statuses`, `failures` by their kind (resets,
    answers that are too long or too late, connections refused), `reopened`, and `seconds` of the answers in buckets of 0.1 ms."""

    def __init__(self, port: int, requests: Sequence[bytes], per_s: float, connections: int = 64) -> None:
        self._port = port
        self._requests: Iterator[bytes] = itertools.cycle(requests)
        self._per_s = per_s
        self._count = connections
        self._is_over = False
        self._opening: set[asyncio.Task[None]] = set()
        self.free: list[_Connection] = []
        self.busy: set[_Connection] = set()
        self.sent = 0
        self.behind = 0  # the most requests whose time had come while no connection was free
        self.reopened = 0
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.latencies: Counter[int] = Counter()

    async def run(self, seconds: float) -> None:
        """Send, then wait for what is still under way."""
        await asyncio.gather(*(self._open() for _ in range(self._count)))
        started = time.monotonic()
        while (now := time.monotonic()) - started < seconds:
            self._send(int((now - started) * self._per_s), now)
            await asyncio.sleep(_TICK_S)
        until = time.monotonic() + _LATE_S
        while self.busy and time.monotonic() < until:  # noqa: ASYNC110  # whichever of many connections
            await asyncio.sleep(_TICK_S)
        self._is_over = True
        self.failures["no answer in time"] += len(self.busy)
        for connection in [*self.free, *self.busy]:
            connection.close()

    def _send(self, due: int, now: float) -> None:
        while self.sent < due and self.free:
            connection = self.free.pop(0)
            self.busy.add(connection)
            self.sent += 1
            connection.ask(next(self._requests), now)
        self.behind = max(self.behind, due - self.sent)

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError as error:
            self.failures[f"not connected: {error.strerror or error}"] += 1
            await asyncio.sleep(0.1)
            self._reopen()

    def _reopen(self) -> None:
        if not self._is_over:
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def answered(self, connection: _Connection, status: int, surplus: int) -> None:
        self.busy.discard(connection)
        self.statuses[status] += 1
        if surplus:
            self.failures["more than one answer"] += 1
        self.latencies[int((time.monotonic() - connection.sent_at) * 10_000)] += 1
        connection.sent_at = 0.0
        self.free.append(connection)

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        if self._is_over:
            return
        if connection in self.busy:
            self.busy.discard(connection)
            self.failures[f"lost under way: {error or 'closed'}"] += 1
        elif connection in self.free:
            self.free.remove(connection)
        self.reopened += 1
        self._reopen()

    def failed(self) -> int:
        """Everything that is not a 2xx."""
        return sum(self.failures.values()) + sum(count for status, count in self.statuses.items() if status // 100 != 2)

    def quantile_ms(self, share: float) -> float:
        """Of all answers, to 0.1 ms."""
        total, reached = sum(self.latencies.values()), 0
        for bucket in sorted(self.latencies):
            reached += self.latencies[bucket]
            if reached >= share * total:
                return bucket / 10
        return 0.0
