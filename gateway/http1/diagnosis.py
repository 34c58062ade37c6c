"""Says why a head is refused: the slow, plain reading of what a scanner did not accept. Never accepts anything itself."""

import re

from gateway.http1 import fields
from gateway.http1.refused import Refused, malformed, upstream_malformed

_HTTP_VERSION = re.compile(rb"HTTP/[0-9]{1,3}(\.[0-9]{1,3})?")
_METHOD = re.compile(rb"[A-Z]{1,20}")
UNKNOWN = "it breaks the rules of HTTP/1.1"


def why_request(head: bytes) -> Refused:
    line, _, block = head.partition(b"\r\n")
    return _why_request_line(line) or _why_fields(block) or malformed(UNKNOWN)


def why_response(head: bytes) -> Refused:
    line, _, block = head.partition(b"\r\n")
    if not line.startswith(b"HTTP/1."):
        return upstream_malformed("the upstream's answer does not begin with an HTTP/1 status line")
    found = _why_fields(block)
    return upstream_malformed(f"the upstream's answer: {found.detail}" if found else "the upstream's status line is malformed")


def why_too_large(data: bytes) -> Refused:
    """For the beginning of a head that is over MAX_HEAD_BYTES and has not ended."""
    if b"\r\n" not in data[: fields.MAX_TARGET + 40]:
        return _too_long_target()
    return Refused(431, "headers_too_large", f"the head is over {fields.MAX_HEAD_BYTES} bytes")


def _too_long_target() -> Refused:
    return Refused(414, "target_too_long", f"the target is over {fields.MAX_TARGET} bytes")


def _why_request_line(line: bytes) -> Refused | None:
    if not line:
        return malformed("an empty line stands where a request line must be")
    if _has_control(line):
        return malformed("the request line holds a control character or a bare line break")
    verb, *rest = line.split(b" ")
    if not _METHOD.fullmatch(verb):
        return malformed("the method must be 1 to 20 capital letters")
    if len(rest) != 2 or not rest[0]:
        return malformed("the request line must be method, target and version with one space between")
    target, version = rest
    if len(target) > fields.MAX_TARGET:
        return _too_long_target()
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        if _HTTP_VERSION.fullmatch(version):
            return Refused(505, "version_unsupported", "only HTTP/1.0 and HTTP/1.1 are spoken here")
        return malformed("the request line does not end with an HTTP version")
    return malformed("the target holds a byte that must be percent-encoded") if target.translate(None, _VISIBLE) else None


_VISIBLE = bytes(range(0x21, 0x7F))


def _why_fields(block: bytes) -> Refused | None:
    """`block`: the lines after the first, with the empty one."""
    if not (block == b"\r\n" or block.endswith(b"\r\n\r\n")):
        return malformed("the head does not end with an empty line")
    lines = block[:-2].split(b"\r\n")[:-1]
    if len(lines) > fields.MAX_HEADERS:
        return Refused(431, "headers_too_large", f"there are more than {fields.MAX_HEADERS} header fields")
    return next((found for found in map(_why_line, lines) if found), None)


def _why_line(line: bytes) -> Refused | None:
    name, colon, _ = line.partition(b":")
    if len(line) > fields.MAX_LINE:
        return Refused(431, "headers_too_large", f"a header field is over {fields.MAX_LINE} bytes")
    if _has_control(line.replace(b"\t", b" ")):
        return malformed("a header field holds a control character or a bare line break")
    if line[:1] in (b" ", b"\t"):
        return malformed("a header field is folded over lines (obs-fold)")
    if not line:
        return malformed("an empty line stands within the head")
    if not colon:
        return malformed("a header line has no colon")
    if name.rstrip(b" \t") != name:
        return malformed("white space stands between a header's name and its colon")
    if not name or name.translate(None, fields.TOKEN_BYTES):
        return malformed("a header's name is empty or holds a byte that no name may hold")
    return None


def _has_control(line: bytes) -> bool:
    return any(byte < 0x20 or byte == 0x7F for byte in line)
