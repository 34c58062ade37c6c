"""Answers → bytes: status lines, header lines, framing. What a stage or a foreign system put into a field can't break a line."""

import re
from http import HTTPStatus

from gateway.http1.message import Request, Response, header_line

STATUS_LINES: dict[int, bytes] = {
    **{code: b"HTTP/1.1 %d \r\n" % code for code in range(100, 600)},
    **{each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus},
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # RFC 9110 §15.2.1
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = frozenset((204, 304))
_LENGTH = re.compile(rb"(?mi)^content-length:")
_FRAMING = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"))


def lines(headers: list[tuple[str, str]]) -> bytes:
    """Header fields as lines; see `header_line`."""
    return b"".join([header_line(name, value) for name, value in headers])


def told(request: Request) -> bytes:
    """What the platform adds to every answer of this request: its id, and what stages told."""
    lines_told = request.told
    identity = b"X-Request-Id: " + request.request_id.encode() + b"\r\n"
    return identity if lines_told is None else identity + b"".join(lines_told)


def whole(request: Request, response: Response, date: bytes, *, keep_alive: bool) -> bytes:
    """A response with its whole body. HEAD gets the head alone; so do 204 and 304 (RFC 9110 §6.4.1)."""
    body = response.body
    status = response.status
    has_length = status not in BODILESS
    headers = [pair for pair in response.headers if pair[0].lower() not in _FRAMING]
    return b"".join(
        (
            STATUS_LINES[status],
            _origin(headers, date),
            lines(headers),
            told(request),
            b"Content-Length: %d\r\n" % len(body) if has_length else b"",
            b"" if keep_alive else CLOSE,
            b"\r\n",
            body if has_length and request.verb != b"HEAD" else b"",
        )
    )


def _origin(headers: list[tuple[str, str]], date: bytes) -> bytes:
    """Server and Date, for an answer that did not bring them from an upstream."""
    has_date = any(name.lower() == "date" for name, _ in headers)
    return b"" if has_date else b"Server: zhiyun\r\nDate: " + date + b"\r\n"


def opening(request: Request, response: Response, date: bytes, *, framing: bytes, keep_alive: bool) -> bytes:
    """The head of an answer whose body follows in pieces, framed as `framing` says."""
    block = response.block
    if block is None:
        block = lines([pair for pair in response.headers if pair[0].lower() not in _FRAMING])
    else:
        block = _without_length(block)
    parts = (
        STATUS_LINES[response.status],
        b"" if response.is_passing else b"Server: zhiyun\r\nDate: " + date + b"\r\n",
        block,
        told(request),
        framing,
        b"" if keep_alive else CLOSE,
        b"\r\n",
    )
    return b"".join(parts)


def _without_length(block: bytes) -> bytes:
    """The lines of an upstream without its Content-Length: the framing is told anew. A scanner let one pass at most, and no other
    field of framing."""
    start = block.find(b"\nContent-Length:") + 1  # as most spell it; the expression takes ten times as long
    if not start:
        found = _LENGTH.search(block)
        if found is None:
            return block
        start = found.start()
    return block[:start] + block[block.index(b"\n", start) + 1 :]


def chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 §7.1); nothing for no data, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
