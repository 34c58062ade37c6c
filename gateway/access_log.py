"""The access log: one line a request, as JSON (the default) or in the combined format, in plain files of the worker's own.

Lines are kept in memory and written in one go some times a second, off the event loop: `<folder>/access-<worker>.log`, rotated by
size. What is not yet written (`every_s`) is lost when the worker is killed, and what is not yet on the disk when the power fails:
files are synced when they are rotated or closed, not before. A full disk or a full buffer drops lines, counts them, and never holds
up a request.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from json.encoder import encode_basestring_ascii as _quote
from pathlib import Path
from random import random
from threading import Lock
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Struct

from core import compiled
from gateway.http1.message import Request
from gateway.record import NOBODY, NOWHERE

_in_c: Callable[[Request, bytes, bytes, str], bytes | None] | None = None
if compiled.BUILD == "compiled":
    from gateway._json_line import json_line

    _in_c = json_line

_log = structlog.get_logger("gateway.access_log")
_NAMES, _NAMES_BYTES = 20, 200
_MAX_KNOWN = 4096
_TAIL_BYTES = 256 << 10


class AccessLogSettings(Struct, frozen=True):
    """`sample` is the share of requests that is logged; failures (500 and above) always are. At most `buffer_bytes` wait to be
    written. `keep` old files of at most `max_bytes` stay."""

    form: Literal["json", "combined"] = "json"
    sample: float = 1.0
    every_s: float = 0.1
    buffer_bytes: int = 8 << 20
    max_bytes: int = 64 << 20
    keep: int = 5


class AccessLog:
    """`on_end` for each request, `keep` as a loop, `close` when requests have ended. `dropped` counts lines that were lost;
    `drops(count)` is told of them."""

    def __init__(
        self,
        folder: Path,
        worker: str,
        settings: AccessLogSettings = AccessLogSettings(),  # noqa: B008  # a frozen value
        *,
        drops: Callable[[int], None] = lambda count: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self._path = folder / f"access-{worker}.log"
        self._settings = settings
        self._drops = drops
        self._wall = wall
        self._lines: list[bytes] = []
        self._size = 0
        self._limit = settings.buffer_bytes
        self._sample = settings.sample
        self._json = _JsonLines() if settings.form == "json" else None
        self._stamp = _STAMPS[settings.form]
        self._ms, self._date = 0, b""
        self._file = -1
        self._written = 0
        self._is_failing = False
        self._writing = Lock()  # a loop that is cancelled leaves its write to end in its thread

    def on_end(self, request: Request) -> None:
        if self._sample < 1.0 and request.status < 500 and random() >= self._sample:  # noqa: S311  # no secret
            return
        now = self._wall()
        ms = int(now * 1000)
        if ms != self._ms:  # many lines share one at the speeds where it matters
            self._ms, self._date = ms, self._stamp(ms).encode()
        line = _combined_line(request, self._date) if self._json is None else self._json.line(request, self._date)
        size = self._size + len(line)
        if size > self._limit:
            self._drop(1)
            return
        self._size = size
        self._lines.append(line)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._drops(count)

    async def keep(self) -> None:
        """Write until cancelled; what came since is left to `close`."""
        while True:
            await asyncio.sleep(self._settings.every_s)
            if self._lines:
                lines = self._take()
                if not await asyncio.to_thread(self._write, lines):
                    self._drop(len(lines))

    def close(self) -> None:
        """Write the rest, sync, close. The loop must have ended."""
        lines = self._take()
        if lines and not self._write(lines):
            self._drop(len(lines))
        with self._writing:
            self._shut()

    def _shut(self) -> None:
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _take(self) -> list[bytes]:
        lines, self._lines, self._size = self._lines, [], 0
        return lines

    def _write(self, lines: list[bytes]) -> bool:
        """Whether the lines are in the file."""
        data = b"".join(lines)
        with self._writing:
            return self._written_out(data)

    def _written_out(self, data: bytes) -> bool:
        try:
            if self._file >= 0 and self._written + len(data) > self._settings.max_bytes:
                self._rotate()
            if self._file < 0:
                self._open()
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
                self._written += written
        except OSError as error:
            if not self._is_failing:
                _log.error("the access log can't be written; its lines are dropped", path=str(self._path), error=str(error))
            self._is_failing = True
            return False
        self._is_failing = False
        return True

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written = os.fstat(self._file).st_size
        if self._written and os.pread(self._file, 1, self._written - 1) != b"\n":
            self._written += os.write(self._file, b"\n")  # the process before was killed within a line

    def _rotate(self) -> None:
        """access.log → access.log.1 → … → access.log.<keep>, which is overwritten."""
        self._shut()
        names = [self._path, *(self._path.with_suffix(f".log.{number}") for number in range(1, self._settings.keep + 1))]
        if len(names) == 1:
            self._path.unlink()
        for old, new in reversed(list(pairwise(names))):
            if old.exists():
                old.replace(new)


class _JsonLines:
    """Built by hand: an encoder would need a dictionary for each line. What repeats (who, where, how it ended) is made once; what a
    stranger wrote is quoted by the encoder of strings. The query is left out: it may be personal or secret."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], bytes] = {}

    def line(self, request: Request, date: bytes) -> bytes:
        pipe, identity, attributes = request.pipe, request.identity, request._attributes
        key = (
            NOWHERE if pipe is None else pipe.name,
            NOBODY if identity is None else identity.app,
            request.remote,
            request.verb,
            request.upstream,
            request.status,
            request.error_code,
        )
        known = self._known.get(key)
        if known is None:
            known = self._learnt(key)
        cached = "" if attributes is None else attributes.get("cache", "")
        line = None if _in_c is None else _in_c(request, date, known, cached)
        return _slowly(request, date, known, cached) if line is None else line

    def _learnt(self, key: tuple[Any, ...]) -> bytes:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        route, app, remote, verb, upstream, status, code = key
        fields = {"client": remote, "app": app, "route": route, "method": verb.decode("latin-1"), "upstream": upstream}
        text = ",".join(f'"{name}":{_text(value)}' for name, value in fields.items())
        self._known[key] = known = f'{text},"status":{status},"error":{_text(code)}'.encode()
        return known


def _slowly(request: Request, date: bytes, known: bytes, cached: str) -> bytes:
    """What `_json_line` makes in C of a request that needs no quoting, which is nearly all of them."""
    target = request.target
    query = target.find(b"?")
    path = (target if query < 0 else target[:query]).decode("latin-1")
    if not path.isascii() or '"' in path or "\\" in path or not path.isprintable():
        path = _quote(path)[1:-1]  # not what a scanner lets pass: its paths need no quotes, nor do ids and traces
    trace = _quote(request.trace[3:35].decode("latin-1"))
    took = int((request.ended - request.started) * 1e6)
    return (
        f'{{"time":"{date.decode()}","id":"{request.request_id}","trace":{trace},{known.decode()},'
        f'"path":"{path}","in":{request.received_bytes},"out":{request.sent_bytes},"us":{took},'
        f'"upstream_us":{int(request.upstream_s * 1e6)},"cache":"{cached}"}}\n'
    ).encode("utf-8", "replace")


def _text(text: str) -> str:
    """A JSON string of any text, half surrogates too."""
    return _quote(text.encode(errors="replace").decode())


def shown_target(target: bytes) -> str:
    """The path, and of the query the names only: values may be personal or secret."""
    path, mark, query = target.decode("latin-1").partition("?")
    if not mark:
        return path
    names = [pair.partition("=")[0] for pair in query[:2000].split("&", _NAMES)[:_NAMES]]
    return f"{path}?{'&'.join(names)[:_NAMES_BYTES]}"


def _combined_line(request: Request, date: bytes) -> bytes:
    """As nginx and Apache write it, with X-Request-Id's value and the seconds taken at the end."""
    fields = request.headers
    app = request.identity.app if request.identity is not None else "-"
    referer, agent = _quoted(fields.get("referer", "-").partition("?")[0]), _quoted(fields.get("user-agent", "-"))
    line = _quoted(f"{request.method} {shown_target(request.target)} HTTP/1.{request.minor}")
    took = f"{request.ended - request.started:.3f}"
    remote = _quoted(request.remote) or "-"
    sent = request.sent_bytes
    return (
        f'{remote} - {_quoted(app)} [{date.decode()}] "{line}" {request.status} {sent} "{referer}" "{agent}" '
        f"{request.request_id} {took}\n"
    ).encode("utf-8", "replace")


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    plain = (each if each.isascii() and each.isprintable() and each not in '"\\' else _hex(each) for each in text)
    return "".join(plain)


def _hex(character: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in character.encode(errors="replace"))


@lru_cache(maxsize=2)
def _iso_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _iso(ms: int) -> str:
    return f"{_iso_second(ms // 1000)}.{ms % 1000:03d}Z"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _common(ms: int) -> str:
    """Month names in English, whatever the locale."""
    at = time.gmtime(ms // 1000)
    return f"{at.tm_mday:02d}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"


_STAMPS: dict[str, Callable[[int], str]] = {"json": _iso, "combined": _common}


def tail(folder: Path, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest JSON lines of all workers of this node, oldest first. Reads at most 256 KiB of each present file: call it off the
    event loop."""
    found = [line for path in folder.glob("access-*.log") for line in _last_lines(path)]
    found.sort(key=lambda line: str(line.get("time", "")))
    return found[-limit:]


def _last_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read(_TAIL_BYTES).split(b"\n")
    for line in lines[1:] if size > _TAIL_BYTES else lines:
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            continue  # half a line, or the combined format
