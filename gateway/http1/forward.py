"""What a pass-through route does with a request: which upstream, and the head that is sent there. One a route and snapshot."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from config.upstreams import Route
from core.errors import InvalidInput
from gateway import clock
from gateway.http1.message import Request, without_fields
from gateway.identity import Identity
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.splits import make_splitter
from gateway.upstream.upstream import Upstreams, UpstreamState

if TYPE_CHECKING:
    from gateway.http1.shadow import ShadowCopies

_BODIES = frozenset((b"POST", b"PUT", b"PATCH"))
_USED = frozenset(("bearer", "key"))
_MAX_KNOWN = 4096
_callers: dict[str, bytes] = {}
_numbers: dict[int, bytes] = {}


class Forward:
    """`gateway.http1.passage` asks it; it decides nothing about who may pass. `shadow` is None where the route has none."""

    def __init__(self, name: str, route: Route, upstreams: Upstreams, shadow: "ShadowCopies | None" = None) -> None:
        self._websocket = route.websocket
        self._strip = route.strip
        self._prefix = route.prefix.encode()
        self._edits = bool(self._strip or self._prefix)
        self._splitter = make_splitter(name, route)
        self._upstream = upstreams.get(route.upstream)
        self._get: Callable[[str], UpstreamState] = upstreams.get
        self.idle_s = route.idle_s
        self.max_message_bytes = route.max_message_bytes
        self.shadow = shadow

    def check(self, request: Request) -> None:
        """Raises InvalidInput for what can't be sent on without a doubt."""
        if request.has_encoded_slash:
            raise InvalidInput("the path holds an encoded slash or backslash, which is never sent on", code="ambiguous_path")
        if request.upgrade and not (self._websocket and request.upgrade == b"websocket" and request.verb == b"GET"):
            request.upgrade = b""  # a server may ignore Upgrade (RFC 9110 §7.8)

    def upstream_for(self, request: Request) -> UpstreamState:
        return self._upstream if self._splitter is None else self._get(self._splitter.choose(request))

    def pool_key(self, upstream: UpstreamState, request: Request) -> bytes:
        """Whose idle connections may be used."""
        by = upstream.pool_by
        if by == "none":
            return b""
        if by == "authorization":
            return request.authorization
        return b"" if request.identity is None else request.identity.app.encode()

    def target(self, request: Request) -> bytes:
        """The path and query sent upstream."""
        if request.upstream_target is not None:  # a stage has done all of it
            return request.upstream_target
        target = request.target
        if self._strip or self._prefix:
            path, mark, query = target.partition(b"?")
            rest = path.split(b"/")[1 + self._strip :]
            target = (self._prefix + b"/" + b"/".join(rest)) + mark + query
        return target

    def head(self, request: Request, endpoint: EndpointState, upstream: UpstreamState, forwarded: bytes) -> bytes:
        """The whole head. `forwarded` are the forwarding lines of the connection, up to the name of the request id's field."""
        identity, forward = request.identity, request.forward
        if request.removed is not None:
            forward = without_fields(forward, request.removed)
        # How long we go on waiting: an upstream need not work for longer.
        left_ms = int((request.deadline - clock.monotonic()) * 1000)
        parts = [
            request.verb,
            b" ",
            self.target(request) if self._edits or request.upstream_target is not None else request.target,
            b" HTTP/1.1\r\nHost: ",
            request.host if upstream.host_is_client and request.host else endpoint.authority,
            b"\r\n",
            forward,
            forwarded,
            request.request_id.encode(),
            b"\r\nX-Zhiyun-Timeout-Ms: ",
            _number(left_ms if left_ms > 0 else 0),
            b"\r\n" if identity is None else _caller(identity),
        ]
        if request.authorization and (identity is None or identity.means not in _USED):
            parts += (b"Authorization: ", request.authorization, b"\r\n")
        if request.api_key and (identity is None or identity.means != "key"):
            parts += (b"X-Api-Key: ", request.api_key, b"\r\n")
        if request.trace:
            parts += (b"traceparent: ", request.trace, b"\r\n")
            if request.trace_state:
                parts += (b"tracestate: ", request.trace_state, b"\r\n")
        if request.added is not None:
            parts += request.added
        parts.append(_framing(request))
        return b"".join(parts)


def _caller(identity: Identity) -> bytes:
    """The end of a line, and the lines that say who calls. Kept for those who call as an app alone, as most do."""
    app = identity.app
    if identity.user:
        return f"\r\nX-Zhiyun-App: {app}\r\nX-Zhiyun-User: {quote(identity.user, safe='@.:|+')}\r\n".encode()
    known = _callers.get(app)
    if known is None:
        if len(_callers) >= _MAX_KNOWN:
            _callers.clear()
        known = _callers[app] = f"\r\nX-Zhiyun-App: {app}\r\n".encode()
    return known


def _number(value: int) -> bytes:
    """Its digits. Kept: the times of a route's requests lie close together."""
    known = _numbers.get(value)
    if known is None:
        if len(_numbers) >= _MAX_KNOWN:
            _numbers.clear()
        known = _numbers[value] = b"%d" % value
    return known


def _framing(request: Request) -> bytes:
    """The last lines: how the body is framed, and the upgrade that is asked for."""
    if request.upgrade:
        return b"Connection: Upgrade\r\nUpgrade: " + request.upgrade + b"\r\n\r\n"
    if request.content is not None and (request.content or request.verb in _BODIES):
        return b"Content-Length: %d\r\n\r\n" % len(request.content)
    length = request.body_length
    if length > 0 or (length == 0 and request.verb in _BODIES):
        return b"Content-Length: %d\r\n\r\n" % length
    return b"Transfer-Encoding: chunked\r\n\r\n" if length < 0 and request.content is None else b"\r\n"
