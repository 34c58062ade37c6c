"""One request and its answer, as stages and endpoints see them. Parsed once, strictly; text and mappings are made only where asked.

Neighbours: `head` makes requests from bytes, `inbound` and `outbound` move them. Must not know any stage or route.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any, Protocol
from urllib.parse import parse_qsl

MAX_QUERY_FIELDS = 100
MALFORMED_QUERY = [("", "malformed query")]
"""What `Request.query` gives for a query that is no list of pairs: whoever needs the query refuses it, in the form of a problem."""


class Stream(Protocol):
    """The open body of a streamed answer (server-sent events)."""

    async def write(self, data: bytes) -> None:
        """Send a piece, waiting while the reader is slow. Raises NotConnected when the reader has gone."""
        ...


class Filter(Protocol):
    """Changes a body while it passes (compression, a tee into a cache). Fed each piece in order, then finished once."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Response:
    """One answer: with its whole body, or with `stream`, or, where it comes from an upstream, still on its way (`is_passing`).

    An answer on its way has its head only; `filters` added by stages are fed its body, outermost last. A stage that needs the whole
    body says so (see `gateway.stage.AnswerStage`). `keeps_length` says that filters leave the body's length as it is.
    """

    __slots__ = ("_headers", "_seen", "block", "body", "filters", "is_passing", "keeps_length", "status", "stream")

    def __init__(
        self,
        status: int,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        stream: Callable[[Stream], Awaitable[None]] | None = None,
    ) -> None:
        self.status = status
        self._headers: list[tuple[str, str]] | None = [] if headers is None else headers
        self._seen: list[tuple[str, str]] | None = None
        self.block: bytes | None = None
        self.body = body
        self.stream = stream
        self.is_passing = False
        self.filters: list[Filter] | None = None
        self.keeps_length = True

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The fields in order. Whoever takes the list may change it: a block that came from an upstream no longer counts."""
        if self._headers is None:
            self._headers = list(self.fields())
            self.block = None
        return self._headers

    @headers.setter
    def headers(self, value: list[tuple[str, str]]) -> None:
        self._headers = value
        self.block = None

    def came_as(self, block: bytes) -> None:
        """The fields are these lines, which go on as they are unless a stage changes them."""
        self._headers = self._seen = None
        self.block = block

    def fields(self) -> list[tuple[str, str]]:
        """The fields in order, to look at only: what came from an upstream still goes on as it came."""
        if self._headers is not None:
            return self._headers
        if self._seen is None:
            self._seen = pairs_of(self.block or b"")
        return self._seen

    def header(self, name: str) -> str:
        """The first value of a field, its name in any case; empty where there is none."""
        wanted = name.lower()
        for each, value in self.fields():
            if each.lower() == wanted:
                return value
        return ""

    def set_header(self, name: str, value: str) -> None:
        """Replace every field of that name."""
        self.remove_header(name)
        self.headers.append((name, value))

    def remove_header(self, name: str) -> None:
        wanted = name.lower()
        self.headers = [pair for pair in self.headers if pair[0].lower() != wanted]


class Request:
    """One request.

    `verb` and `target` are as received, `head` the whole head, `forward` the header lines that may go upstream (each with its CRLF;
    hop-by-hop fields, credentials of the platform and forged forwarding fields are not among them). `line` is for the log.
    `remote` is the caller's address, believed from trusted proxies only. `deadline` and `started` are monotonic seconds.

    What stages leave: `identity`, `app`, `parameters` (what the route's path matched), `told` (header lines that every answer to
    this request carries, problems too; see `tell`), `attributes` (anything, by stage). What is sent upstream is changed by
    `set_header`, `remove_header`, `upstream_target` and `replace_body`.
    """

    __slots__ = (
        "_attributes",
        "_headers",
        "_matched",
        "_parameters",
        "_query",
        "added",
        "api_key",
        "app",
        "authorization",
        "body_length",
        "body_reader",
        "certificate",
        "content",
        "deadline",
        "ended",
        "error_code",
        "expects_continue",
        "forward",
        "forwarded_for",
        "forwarded_proto",
        "has_encoded_slash",
        "head",
        "host",
        "identity",
        "is_signed",
        "keep_alive",
        "line",
        "minor",
        "pipe",
        "received_bytes",
        "remote",
        "removed",
        "request_id",
        "scheme",
        "sent_bytes",
        "started",
        "status",
        "target",
        "timeout_ms",
        "told",
        "trace",
        "trace_state",
        "upgrade",
        "upstream",
        "upstream_s",
        "upstream_target",
        "verb",
    )

    def __init__(self, verb: bytes, target: bytes, head: bytes, forward: bytes) -> None:
        self.verb = verb
        self.target = target
        self.head = head
        self.forward = forward
        self.line = b""
        self.host = b""
        self.authorization = b""  # the Authorization field's value, as it came
        self.api_key = b""  # the X-Api-Key field's
        self.is_signed = False  # whether a field of a signature is there (Signature, Signature-Input, X-Ca-…)
        self.minor = 1  # of the HTTP version
        self.keep_alive = True
        self.expects_continue = False  # Expect: 100-continue (RFC 9110 §10.1.1)
        self.upgrade = b""  # the protocol asked for, lower case, where Connection names upgrade
        self.forwarded_for = b""  # X-Forwarded-For and X-Forwarded-Proto as received: believed from trusted proxies only
        self.forwarded_proto = b""
        self.has_encoded_slash = False  # %2F or %5C in the path: never sent upstream, a key of a data service may hold it
        self.body_length = 0  # bytes; -1: chunked
        self.content: bytes | None = None  # the whole body, once something has asked for it
        self.timeout_ms = 0  # that the client waits (X-Zhiyun-Timeout-Ms); 0: it does not say, below 0: no longer
        self.remote = ""
        self.scheme = "http"
        self.certificate: Any = None  # the client's certificate (DER bytes) where the listener checked one
        self.request_id = ""
        self.trace = b""  # traceparent that is sent on (W3C Trace Context §3.2)
        self.started = 0.0
        self.deadline = 0.0
        self.ended = 0.0
        self.status = 0  # of the answer; 499 where the client went before it
        self.error_code = ""  # of the problem that was answered
        self.received_bytes = 0  # of the body
        self.sent_bytes = 0  # of the answer's body
        self.upstream = ""  # the endpoint that answered
        self.upstream_s = 0.0  # how long it took
        self.trace_state = b""  # tracestate, where traceparent came with it
        self.pipe: Any = None
        self.identity: Any = None  # an Identity, once a stage knows
        self.app: Any = None
        self.told: list[bytes] | None = None
        self.added: list[bytes] | None = None
        self.removed: set[bytes] | None = None
        self.upstream_target: bytes | None = None
        self._headers: dict[str, str] | None = None
        self._matched: Callable[[], Mapping[str, str]] | None = None
        self._parameters: Mapping[str, str] | None = None
        self._query: list[tuple[str, str]] | None = None
        self._attributes: dict[str, Any] | None = None
        self.body_reader: Callable[[], Awaitable[bytes]] | None = None  # the connection's, for `body`

    @property
    def method(self) -> str:
        return self.verb.decode("ascii")

    @property
    def path(self) -> str:
        """As received, percent-encoding kept: free of dot segments, empty segments and encoded slashes."""
        return self.target.partition(b"?")[0].decode("ascii", "replace")

    @property
    def headers(self) -> Mapping[str, str]:
        """Every field received by its lower-case name; a repeated one is joined by `, ` (RFC 9110 §5.3)."""
        if self._headers is None:
            self._headers = headers_of(self.head)
        return self._headers

    @property
    def query(self) -> list[tuple[str, str]]:
        """The pairs in order, decoded; `MALFORMED_QUERY` where they can't be."""
        if self._query is None:
            self._query = _pairs(self.target.partition(b"?")[2])
        return self._query

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the route's path matched, by name, decoded."""
        if self._parameters is None:
            self._parameters = {} if self._matched is None else self._matched()
        return self._parameters

    @parameters.setter
    def parameters(self, value: Mapping[str, str]) -> None:
        self._parameters = value

    @property
    def attributes(self) -> dict[str, Any]:
        if self._attributes is None:
            self._attributes = {}
        return self._attributes

    def tell(self, name: str, value: str) -> None:
        """A header field for the answer, whatever it will be."""
        self.tell_line(header_line(name, value))

    def tell_line(self, line: bytes) -> None:
        """The same, as one or more lines that `header_line` has made."""
        if self.told is None:
            self.told = [line]
        else:
            self.told.append(line)

    def set_header(self, name: str, value: str) -> None:
        """Send this field upstream, in place of any of that name. InvalidInput is the caller's duty: no CR, LF or NUL may come
        here."""
        self.remove_header(name)
        line = f"{name}: {value}\r\n".encode("utf-8", "replace")
        if b"\r" in line[:-2] or b"\n" in line[:-2] or b"\0" in line:
            raise ValueError(f"{name}: a header value holds no line break")
        if self.added is None:
            self.added = []
        self.added.append(line)

    def remove_header(self, name: str) -> None:
        """Send no field of that name upstream."""
        lower = name.lower().encode()
        if self.removed is None:
            self.removed = set()
        self.removed.add(lower)
        if self.added:
            self.added = [line for line in self.added if line.partition(b":")[0].lower() != lower]

    def replace_body(self, body: bytes, content_type: str) -> None:
        """Send this body upstream instead. Only after the whole body was read (see `gateway.stage.Stage`)."""
        self.content = body
        self.remove_header("Content-Length")
        self.remove_header("Content-Encoding")
        self.set_header("Content-Type", content_type)

    async def body(self) -> bytes:
        """The whole body, bounded by the pipe's limit; reads it at the first call. Raises InvalidInput (payload_too_large,
        request_timeout, or cut short)."""
        if self.content is None:
            self.content = await self.body_reader() if self.body_reader is not None else b""
        return self.content


def header_line(name: str, value: str) -> bytes:
    """One line of a head. A line break or NUL becomes a space: whatever a stage or a foreign system put there, no line is added."""
    text = f"{name}: {value}"
    if not text.isprintable():
        text = text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    return text.encode("utf-8", "replace") + b"\r\n"


def pairs_of(block: bytes) -> list[tuple[str, str]]:
    """Header lines that a scanner has found right, as name and value."""
    found = []
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.decode("ascii"), value.strip(b" \t").decode("utf-8", "replace")))
    return found


def without_fields(block: bytes, names: Set[bytes]) -> bytes:
    """Header lines without those of these names (lower case). Looked for, not split: most heads have none of those that go."""
    lower = b"\n" + block.lower()  # one byte ahead: a line begins in `block` where its line break stands here
    for name in names:
        wanted = b"\n" + name + b":"
        start = lower.find(wanted)
        while start >= 0:
            end = lower.index(b"\n", start + 1)
            block, lower = block[:start] + block[end:], lower[:start] + lower[end:]
            start = lower.find(wanted)
    return block


def has_told(request: Request, name: str) -> bool:
    """Whether its answer will have such a field, the name spelled so."""
    start = name.encode() + b":"
    return request.told is not None and any(line.startswith(start) for line in request.told)


def headers_of(head: bytes) -> dict[str, str]:
    """The fields of a head (request line or status line first) that a scanner has found right."""
    found: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            lower, text = name.decode("ascii").lower(), value.strip(b" \t").decode("utf-8", "replace")
            found[lower] = f"{found[lower]}, {text}" if lower in found else text
    return found


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError:
        return MALFORMED_QUERY


def made_request(
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    remote: str = "127.0.0.1",
    request_id: str = "test",
    timeout_s: float = 30.0,
) -> Request:
    """A request that came over no connection: for tests, probes and copies. Header values must be clean already."""
    fields = {"host": "gateway", **{name.lower(): value for name, value in (headers or {}).items()}}
    lines = b"".join(f"{name}: {value}\r\n".encode("utf-8", "replace") for name, value in fields.items())
    line = f"{method} {target} HTTP/1.1".encode()
    request = Request(method.encode(), target.encode(), line + b"\r\n" + lines + b"\r\n", lines)
    request.line = line
    request.host = fields["host"].encode()
    request.authorization = fields.get("authorization", "").encode("utf-8", "replace")
    request.api_key = fields.get("x-api-key", "").encode("utf-8", "replace")
    request.is_signed = not {"signature", "signature-input", "x-ca-key", "x-ca-signature"}.isdisjoint(fields)
    request.content = body
    request.body_length = len(body)
    request.remote = remote
    request.request_id = request_id
    request.started = time.monotonic()
    request.deadline = request.started + timeout_s
    return request
