"""One head → one message: what its fields mean for framing, the connection and the way on (RFC 9110, RFC 9112 §6).

Neighbours: `scanner` takes the bytes apart, `diagnosis` words what it refused, `target` judges the path. Must not read sockets.
"""

import ipaddress
import re

from gateway.http1 import scanner
from gateway.http1.diagnosis import why_request, why_response, why_too_large
from gateway.http1.fields import (
    API_KEY,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FRAMING,
    HOST,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE,
    MAX_TARGET,
    PROTECTED,
    PROTECTED_PREFIXES,
    REQUEST_ID,
    TIMEOUT,
    TOKEN_BYTES,
    TRACE,
    TRACE_STATE,
    TRANSFER_ENCODING,
    UPGRADE,
)
from gateway.http1.message import Request, without_fields
from gateway.http1.refused import Refused, ambiguous, malformed, upstream_malformed
from gateway.http1.target import normalised, origin_form

__all__ = [
    "CHUNKED",
    "MAX_HEADERS",
    "MAX_HEAD_BYTES",
    "MAX_LINE",
    "MAX_TARGET",
    "UNTIL_CLOSE",
    "Refused",
    "ResponseHead",
    "has_bare_line_end",
    "parse_request",
    "parse_response",
    "usual_request",
    "why_too_large",
]

CHUNKED = -1
UNTIL_CLOSE = -2

_HOST = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?")
_KNOWN_HOSTS: set[bytes] = set()
_MAX_KNOWN_HOSTS = 1024  # then the set is emptied
_KNOWN_CONNECTIONS: "dict[bytes, frozenset[bytes]]" = {}
_MAX_KNOWN_CONNECTIONS = 256  # the same
_MAX_KNOWN_CONNECTION = 64  # bytes of one
_MAX_HOST = 255
_MAX_DIGITS = 18  # of a length: fits a signed 64-bit number
_MAX_TIMEOUT_DIGITS = 10  # in milliseconds; room for clients that say "for ever" by 2^31-1
_short_way = scanner.plain_request
_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_TRACE_BYTES = b"0123456789abcdef-"
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_OWN_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade"})


def usual_request(data: bytes) -> Request | None:
    """The request that `data` begins with, by a short way for the usual kind of request; None: find the head's end and ask
    `parse_request`. What it gives is what that would give."""
    return _short_way(data, _KNOWN_HOSTS) if _short_way is not None else None


def parse_request(head: bytes) -> Request:
    """`head`: request line, field lines and the empty line, each with CRLF. Raises Refused."""
    if len(head) > MAX_HEAD_BYTES:
        raise why_too_large(head)
    scan = scanner.scan_request(head)
    if scan is None:
        raise why_request(head)
    verb, target, is_plain, minor, line, forward, told = scan
    request = Request(verb, target, head, forward)
    request.line = line
    request.minor = minor
    if verb in (b"CONNECT", b"TRACE"):
        raise Refused(501, "method_unknown", "CONNECT and TRACE are not offered")
    if is_plain:
        _apply_fields(request, told)
        return request
    scheme, authority, target = origin_form(target, verb)
    request.target, request.has_encoded_slash = normalised(target, verb)
    _apply_fields(request, told)
    if authority:
        _take_authority(request, scheme, authority)
    return request


def _take_authority(request: Request, scheme: bytes, authority: bytes) -> None:
    """RFC 9112 §3.2.2: the target's authority takes the place of Host. One that disagrees is refused, as HAProxy does, not ignored,
    as the RFC says and nginx does: its sender breaks §3.2, and what has read Host before us has decided about another host. The
    scheme decides nothing: what the connection is, is known."""
    if authority not in _KNOWN_HOSTS:
        _check_new_host(authority, "the target's authority")
    if request.host and _without_default_port(request.host, scheme) != _without_default_port(authority, scheme):
        raise malformed("the Host field and the target name two hosts")
    request.host = authority


def _without_default_port(host: bytes, scheme: bytes) -> bytes:
    return host.lower().removesuffix(b":443" if scheme == b"https" else b":80")


def _apply_fields(request: Request, told: list[tuple[int, bytes]]) -> None:
    connection = b""
    seen = 0
    for kind, value in told:
        if seen >> kind & 1:
            value = _joined(request, kind, value)
        seen |= 1 << kind
        if kind == HOST:
            request.host = value
        elif kind == AUTHORIZATION:
            request.authorization = value
        elif kind == REQUEST_ID:
            request.request_id = _request_id(value)
        elif kind == TRACE:
            request.trace = _trace(value)
        elif kind == CONNECTION:
            connection = connection + b"," + value
        else:
            _apply_rarer(request, kind, value)
    if not request.trace:
        request.trace_state = b""
    _check_host(request, seen)
    _check_framing(request, seen)
    _apply_connection(request, connection)


def _joined(request: Request, kind: int, value: bytes) -> bytes:
    """A repeated field: a list goes on (RFC 9110 §5.3), an id is none, and of what decides there may be one only."""
    if kind == HOST:
        raise malformed("there is more than one Host field")
    if kind == AUTHORIZATION:
        raise malformed("there is more than one Authorization field")
    if kind == API_KEY:
        raise malformed("there is more than one X-Api-Key field")
    if kind == TIMEOUT:
        raise _bad_timeout()
    if kind in (CONTENT_LENGTH, TRANSFER_ENCODING):
        raise ambiguous("Content-Length or Transfer-Encoding is given twice")
    if kind in (REQUEST_ID, TRACE):
        return b""
    earlier = {
        FORWARDED_FOR: request.forwarded_for,
        FORWARDED_PROTO: request.forwarded_proto,
        UPGRADE: request.upgrade,
        TRACE_STATE: request.trace_state,
    }.get(kind)
    return value if earlier is None else earlier + b", " + value


def _apply_rarer(request: Request, kind: int, value: bytes) -> None:
    if kind == CONTENT_LENGTH:
        if not value.isdigit() or len(value) > _MAX_DIGITS:
            raise ambiguous(f"Content-Length is not one number of 1 to {_MAX_DIGITS} digits")
        request.body_length = int(value)
    elif kind == TRANSFER_ENCODING:
        if value.lower() != b"chunked":
            raise Refused(501, "transfer_coding_unknown", "the only transfer coding taken is chunked")
        request.body_length = CHUNKED
    elif kind == EXPECT:
        if value.lower() != b"100-continue":
            raise Refused(417, "expectation_failed", "the only expectation taken is 100-continue")
        request.expects_continue = True
    elif kind == UPGRADE:
        request.upgrade = value.lower()
    elif kind == FORWARDED_FOR:
        request.forwarded_for = value
    elif kind == FORWARDED_PROTO:
        request.forwarded_proto = value
    else:
        _apply_credential(request, kind, value)


def _apply_credential(request: Request, kind: int, value: bytes) -> None:
    if kind == API_KEY:
        request.api_key = value
    elif kind == TRACE_STATE:
        request.trace_state = value
    elif kind == TIMEOUT:
        request.timeout_ms = _timeout_ms(value)
    else:  # SIGNED
        request.is_signed = True


def _timeout_ms(value: bytes) -> int:
    """-1 for 0: the time is over, which a gateway in front of this one may well say. What can't be read is refused, as gRPC does
    with grpc-timeout: a caller that believes in a deadline must not be left waiting for the route's."""
    if not value.isdigit() or len(value) > _MAX_TIMEOUT_DIGITS:
        raise _bad_timeout()
    return int(value) or -1


def _bad_timeout() -> Refused:
    return Refused(400, "deadline_malformed", f"X-Zhiyun-Timeout-Ms is not one number of 1 to {_MAX_TIMEOUT_DIGITS} digits")


def _check_host(request: Request, seen: int) -> None:
    if not seen >> HOST & 1:
        if request.minor == 1:
            raise malformed("the Host field is missing")
    elif request.host not in _KNOWN_HOSTS:
        _check_new_host(request.host, "the Host field")


def _check_new_host(host: bytes, what: str) -> None:
    found = _HOST.fullmatch(host) if len(host) <= _MAX_HOST else None
    if found is None or int(found[2] or 0) > 65_535 or (found[1] is not None and not _is_ipv6(found[1])):
        raise malformed(f"{what} is no host name or address with an optional port")
    if len(_KNOWN_HOSTS) >= _MAX_KNOWN_HOSTS:
        _KNOWN_HOSTS.clear()
    _KNOWN_HOSTS.add(host)


def _is_ipv6(text: bytes) -> bool:
    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def _check_framing(request: Request, seen: int) -> None:
    if seen >> TRANSFER_ENCODING & 1:
        if seen >> CONTENT_LENGTH & 1:
            raise ambiguous("both Content-Length and Transfer-Encoding are given")
        if request.minor == 0:
            raise ambiguous("HTTP/1.0 has no Transfer-Encoding")
    if request.expects_continue:  # without content there is nothing to wait for, and 1.0 knows no 100 (RFC 9110 §10.1.1)
        request.expects_continue = request.body_length != 0 and request.minor == 1


def _apply_connection(request: Request, connection: bytes) -> None:
    """`connection`: the values, each after a comma."""
    if not connection:
        request.keep_alive = request.minor == 1
        request.upgrade = b""
        return
    options = _options(connection)
    request.keep_alive = b"close" not in options and (request.minor == 1 or b"keep-alive" in options)
    if b"upgrade" not in options or request.minor == 0:  # RFC 9110 §7.8
        request.upgrade = b""
    named = options - _OWN_OPTIONS
    if named:
        if any(name in PROTECTED or name.startswith(PROTECTED_PREFIXES) for name in named):
            raise malformed("the Connection field names a field that is not the connection's")
        request.forward = without_fields(request.forward, named)


def _options(connection: bytes) -> "frozenset[bytes]":
    known = _KNOWN_CONNECTIONS.get(connection)
    if known is not None:
        return known
    options = frozenset(option.strip(b" \t") for option in connection.lower().split(b",")) - {b""}
    if any(option.translate(None, TOKEN_BYTES) for option in options):
        raise malformed("the Connection field is no list of names")
    if len(connection) <= _MAX_KNOWN_CONNECTION:
        if len(_KNOWN_CONNECTIONS) >= _MAX_KNOWN_CONNECTIONS:
            _KNOWN_CONNECTIONS.clear()
        _KNOWN_CONNECTIONS[connection] = options
    return options


def _request_id(value: bytes) -> str:
    """Empty for one that is not fit to be an id in our logs."""
    if 0 < len(value) <= 64 and not value.translate(None, _ID_BYTES):
        return value.decode("ascii")
    return ""


def _trace(value: bytes) -> bytes:
    """A traceparent (W3C Trace Context §3.2), as version 00 whatever the caller's version; empty where it is malformed."""
    if len(value) < 55 or value[2:3] != b"-" or value[35:36] != b"-" or value[52:53] != b"-":
        return b""
    is_first_version = value[:2] == b"00"
    if len(value) > 55:
        if is_first_version or value[55:56] != b"-":
            return b""
        value = value[:55]
    if value.count(b"-") != 3 or value.translate(None, _TRACE_BYTES):
        return b""
    if value[3:35] == _NO_TRACE or value[36:52] == _NO_SPAN or value[:2] == b"ff":
        return b""
    return value if is_first_version else b"00" + value[2:]


class ResponseHead:
    """An upstream's answer without its body. `forward`: lines fit for the client. `body_length`: bytes, -1 chunked, -2 until close.

    `is_interim`: 1xx after which the answer proper follows; 101 is not one, it ends HTTP on the connection.
    """

    __slots__ = ("body_length", "forward", "is_interim", "keep_alive", "minor", "status", "status_line", "upgrade")

    def __init__(self, status: int, minor: int, status_line: bytes, forward: bytes) -> None:
        self.status = status
        self.minor = minor
        self.status_line = status_line
        self.forward = forward
        self.body_length = UNTIL_CLOSE
        self.keep_alive = True
        self.is_interim = 100 <= status < 200 and status != 101
        self.upgrade = b""


def parse_response(head: bytes, verb: bytes) -> ResponseHead:
    """`head` as in `parse_request`; `verb`: the request's method. Raises Refused with status 502."""
    scan = scanner.scan_response(head)
    if scan is None:
        raise why_response(head)
    status, minor, status_line, forward, told = scan
    response = ResponseHead(status, minor, status_line, forward)
    connection = b""
    seen = 0
    for kind, value in told:
        if kind == CONNECTION:
            connection = connection + b"," + value
        elif kind == UPGRADE:
            response.upgrade = value.lower()
        elif seen >> CONTENT_LENGTH & 1 or seen >> TRANSFER_ENCODING & 1:
            raise upstream_malformed("the upstream's answer gives its length twice")
        else:
            response.body_length = _length_of(kind, value, minor)
        seen |= 1 << kind
    _apply_response_connection(response, connection)
    _apply_status(response, verb)
    return response


def _length_of(kind: int, value: bytes, minor: int) -> int:
    if kind == CONTENT_LENGTH:
        if not value.isdigit() or len(value) > _MAX_DIGITS:
            raise upstream_malformed("the upstream's Content-Length is not one number")
        return int(value)
    if value.lower() != b"chunked" or minor == 0:
        raise upstream_malformed("the upstream used a transfer coding other than chunked")
    return CHUNKED


def _apply_response_connection(response: ResponseHead, connection: bytes) -> None:
    if not connection:
        response.keep_alive = response.minor == 1
        response.upgrade = b""
        return
    try:
        options = _options(connection)
    except Refused:
        raise upstream_malformed("the upstream's Connection field is no list of names") from None
    response.keep_alive = b"close" not in options and (response.minor == 1 or b"keep-alive" in options)
    if b"upgrade" not in options:
        response.upgrade = b""
    named = options - _OWN_OPTIONS
    if named:
        if not named.isdisjoint(FRAMING):
            raise upstream_malformed("the upstream's Connection field names the field that frames the answer")
        response.forward = without_fields(response.forward, named)


def _apply_status(response: ResponseHead, verb: bytes) -> None:
    """RFC 9112 §6.3: which answers have no body, whatever their fields say."""
    if response.status < 200 or response.status == 204:
        if response.body_length > 0 or response.body_length == CHUNKED:
            response.keep_alive = False  # a body may follow that must not be taken for the next answer
        if response.body_length >= 0:  # a length is forbidden there (RFC 9110 §8.6)
            response.forward = without_fields(response.forward, _LENGTH)
        if response.status == 101 and not response.upgrade:
            raise upstream_malformed("the upstream changed the protocol without saying to which")
        response.body_length = 0
    elif response.status == 304 or verb == b"HEAD":
        response.body_length = 0
    elif response.body_length == UNTIL_CLOSE:
        response.keep_alive = False


_LENGTH = frozenset({b"content-length"})


def has_bare_line_end(data: bytes) -> bool:
    """Whether a CR or LF stands alone. For a head still incomplete, whose last byte may be the CR of a CRLF."""
    pairs = data.count(b"\r\n")
    return data.count(b"\n") != pairs or data.count(b"\r") != pairs + data.endswith(b"\r")
