"""Takes one head apart in one pass: first line, lines to forward, values of the known fields. Knows bytes, not their meaning.

Two twins with the same verdicts: `_scanner` in C, and the functions `…_pure` here. They only accept, or give None; why a head is
refused, `diagnosis` finds out for both.
"""

import re
from collections.abc import Callable

from gateway import http1
from gateway.http1 import fields
from gateway.http1.fields import KEEP, TOLD, VALUE_BYTES
from gateway.http1.message import Request

RequestScan = tuple[bytes, bytes, bool, int, bytes, bytes, list[tuple[int, bytes]]]
"""verb, target, whether it is plain (normal as it stands), minor version, line, lines to forward, (kind, value) of known fields"""
ResponseScan = tuple[int, int, bytes, bytes, list[tuple[int, bytes]]]
"""status, minor version, status line (as HTTP/1.1, with CRLF), lines to forward, (kind, value) of known fields"""

_CRLF = b"\r\n"
_LINE_ENDS = [_CRLF * (count + 1) for count in range(fields.MAX_HEADERS + 1)]
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]{1,%d}) HTTP/1\.([01])\r\n" % fields.MAX_TARGET)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01])( [1-5][0-9][0-9])( [\t\x20-\x7e\x80-\xff]*)?\r\n")
_PLAIN_TARGET = re.compile(
    rb"(?=/)(?:/[%b][%b]*)*/?(?:\?[%b]*)?"
    % tuple(re.escape(allowed) for allowed in (fields.PATH_BYTES.replace(b".", b""), fields.PATH_BYTES, fields.QUERY_BYTES))
)


def scan_request_pure(head: bytes) -> RequestScan | None:
    found = _REQUEST_LINE.match(head)
    if found is None:
        return None
    block = _scan_fields(head, found.end(), _REQUEST_SPELLINGS, fields.REQUEST_FIELDS)
    if block is None:
        return None
    verb, target, minor = found.groups()
    is_plain = _PLAIN_TARGET.fullmatch(target) is not None
    return verb, target, is_plain, 1 if minor == b"1" else 0, head[: found.end() - 2], block[0], block[1]


def scan_response_pure(head: bytes) -> ResponseScan | None:
    found = _STATUS_LINE.match(head)
    if found is None:
        return None
    block = _scan_fields(head, found.end(), _RESPONSE_SPELLINGS, fields.RESPONSE_FIELDS)
    if block is None:
        return None
    minor, status, reason = found.groups(b" ")  # the space belongs to the line even before no reason
    status_line = b"HTTP/1.1" + status + reason + b"\r\n"
    return int(status), 1 if minor == b"1" else 0, status_line, block[0], block[1]


def _spellings(table: dict[bytes, int]) -> dict[bytes, int]:
    """The usual spellings of names, checked already; of fields without a meaning here, too."""
    plain = dict.fromkeys(
        (
            *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"content-encoding", b"content-type"),
            *(b"cookie", b"date", b"etag", b"last-modified", b"location", b"origin", b"referer", b"server", b"set-cookie"),
            *(b"user-agent", b"vary", b"x-api-key", b"sec-fetch-mode", b"sec-fetch-site", b"sec-fetch-dest"),
        ),
        fields.KEEP,
    )
    both = plain | table
    return both | {name.title(): kind for name, kind in both.items()}


_REQUEST_SPELLINGS = _spellings(fields.REQUEST_FIELDS)
_RESPONSE_SPELLINGS = _spellings(fields.RESPONSE_FIELDS)


def _scan_fields(
    head: bytes, start: int, spellings: dict[bytes, int], table: dict[bytes, int]
) -> tuple[bytes, list[tuple[int, bytes]]] | None:
    block = head[start:]
    lines = block.split(_CRLF)
    if not 2 <= len(lines) <= fields.MAX_HEADERS + 2 or lines.pop() or lines.pop():
        return None
    # With all allowed bytes away only the line ends remain; as many as the split found, so none is bare.
    if block.translate(None, VALUE_BYTES) != _LINE_ENDS[len(lines)]:
        return None
    if len(head) > fields.MAX_LINE and any(len(line) > fields.MAX_LINE for line in lines):
        return None
    told: list[tuple[int, bytes]] = []
    kept = []
    known = spellings.get
    for line in lines:
        colon = line.find(b":")
        name = line[:colon]
        kind = known(name, -1)
        if colon < 1 or (kind < 0 and (kind := _kind(name, table)) < 0):
            return None
        if kind & KEEP:
            kept.append(line)
        if kind & TOLD:
            told.append((kind & TOLD, line[colon + 1 :].strip(b" \t")))
    kept.append(b"")
    return _CRLF.join(kept), told


def _kind(name: bytes, table: dict[bytes, int]) -> int:
    """-1 where this is no name."""
    if name.translate(None, fields.TOKEN_BYTES):
        return -1
    lower = name.lower()
    return table.get(lower, fields.DROP if lower.startswith(fields.RESERVED_PREFIX) else fields.KEEP)


plain_request: Callable[[bytes, set[bytes]], Request | None] | None = None
"""The short way to a usual request, in the compiled build only."""
if http1.BUILD == "compiled":
    from gateway.http1 import _scanner

    scan_request = _scanner.scan_request
    scan_response = _scanner.scan_response
    plain_request = _scanner.plain_request
else:
    scan_request = scan_request_pure
    scan_response = scan_response_pure
