"""Compress: answers in gzip (RFC 9110 §8.4.1.3) for clients that accept it. The last to see an answer's body.

A passing answer is compressed piece by piece, each flushed, so that nothing is held back; a large whole one in a thread.
"""

import zlib
from functools import lru_cache
from typing import Literal

from config import policies
from gateway.changed_body import changed_headers, worked
from gateway.http1.message import headers_of, pairs_of
from gateway.stage import AnswerStage, Filter, Outcome, Request, Response

_UNTOUCHED = frozenset({204, 205, 206, 304})
_GZIP = 16 + zlib.MAX_WBITS
_LOOKED_AT = frozenset({"content-type", "content-length", "cache-control", "content-encoding", "content-range"})
_ENDLESS = 1 << 62
_MEMO_MAX_CHARS = 256
_MEMO_MAX_BLOCK = 2048  # bytes
Acceptance = Literal["no", "yes", "must"]


class Compress:
    name = "compress"

    def __init__(self, policy: policies.Compress) -> None:
        self._types = tuple(each.lower() for each in policy.types)
        self._min_bytes = policy.min_bytes
        self._level = policy.level

    def on_request(self, request: Request) -> Outcome:
        return None

    def collects(self, request: Request, response: Response) -> int:
        return 0

    def on_response(self, request: Request, response: Response) -> Outcome:
        size = self._fit_bytes(request, response)
        if not size:
            return None
        accepted = acceptance(_accept_encoding(request))
        if accepted == "no" or (size < self._min_bytes and accepted != "must"):
            if size >= self._min_bytes:
                response.headers.append(("Vary", "Accept-Encoding"))
            return None
        response.headers = [*changed_headers(response.headers), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        if response.is_passing:
            response.filters = [*(response.filters or ()), GzipFilter(self._level)]
            response.keeps_length = False
            return None
        body = response.body
        return worked(len(body), lambda: zlib.compress(body, self._level, _GZIP), lambda packed: _fill(response, packed))

    def _fit_bytes(self, request: Request, response: Response) -> int:
        """The body's size where it may be compressed at all: it is of a listed kind, in no coding yet. 0 where it may not be;
        endless where a passing answer does not say."""
        if response.status in _UNTOUCHED or response.stream is not None or request.verb == b"HEAD":
            return 0
        kind, length, may_change = _told_of(response)
        if not may_change:
            return 0
        if not kind.startswith(self._types) or kind.startswith("text/event-stream"):
            return 0
        if not response.is_passing:
            return len(response.body)
        return int(length) if length.isascii() and length.isdigit() else _ENDLESS


def _judged_fields(headers: list[tuple[str, str]]) -> tuple[str, str, bool]:
    """Content-Type in lower case, Content-Length, and whether the body may be put into a coding at all (RFC 9110 §7.7)."""
    kind = length = ""
    for name, value in headers:
        lower = name.lower()
        if lower not in _LOOKED_AT:
            continue
        if lower == "content-type":
            kind = value.lower()
        elif lower == "content-length":
            length = value
        elif lower != "cache-control" or "no-transform" in value.lower():
            return "", "", False
    return kind, length, True


def _told_of(response: Response) -> tuple[str, str, bool]:
    block = response.block
    return _judged_fields(response.fields()) if block is None or len(block) > _MEMO_MAX_BLOCK else _judged_block(block)


@lru_cache(maxsize=256)
def _judged_block(block: bytes) -> tuple[str, str, bool]:
    """The lines of an upstream, which many answers of one second share."""
    return _judged_fields(pairs_of(block))


class GzipFilter:
    """A body in gzip, each piece flushed: what the upstream has sent, the client can read."""

    def __init__(self, level: int) -> None:
        self._packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)

    def feed(self, data: bytes) -> bytes:
        return self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH) if data else b""

    def finish(self) -> bytes:
        return self._packer.flush()


def acceptance(field: str) -> Acceptance:
    """What Accept-Encoding says of gzip (RFC 9110 §12.5.3): `must` where the client refuses the plain form."""
    return _judged(field) if len(field) <= _MEMO_MAX_CHARS else _judged.__wrapped__(field)


@lru_cache(maxsize=512)
def _judged(field: str) -> Acceptance:
    weights: dict[str, float] = {}
    for item in field.lower().split(","):
        coding, _, parameter = item.partition(";")
        weights[coding.strip()] = _weight(parameter)
    default = weights.get("*")
    gzip = weights.get("gzip", weights.get("x-gzip", default or 0.0))
    identity = weights.get("identity", 0.0 if default == 0 else None)
    if gzip <= 0 or (identity is not None and identity > gzip):
        return "no"
    return "must" if identity == 0 else "yes"


def _weight(parameter: str) -> float:
    """`q=0.5` → 0.5; 1 where there is none; 0 for one that is malformed."""
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _accept_encoding(request: Request) -> str:
    """The one field, without a mapping of all of them where it stands once."""
    lower = request.head.lower()
    start = lower.find(b"\r\naccept-encoding:")
    if start < 0:
        return ""
    if lower.find(b"\r\naccept-encoding:", start + 1) >= 0:
        return headers_of(request.head)["accept-encoding"]
    return lower[start + 18 : lower.index(b"\r\n", start + 2)].decode("ascii", "replace")


def _fill(response: Response, body: bytes) -> None:
    response.body = body


def _conforms(stage: Compress) -> AnswerStage:
    return stage


def _filter_conforms(gzip: GzipFilter) -> Filter:
    return gzip
