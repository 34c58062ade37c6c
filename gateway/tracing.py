"""W3C Trace Context (traceparent) of each request; the spans of sampled ones, exported by OpenTelemetry over OTLP/HTTP.

Every request gets a span id of its own, which goes upstream. Whether a trace is sampled is the caller's decision where it sent a
traceparent, and a share of the others. Spans are made at a request's end, only for sampled ones, and only where a collector is
named: the SDK is not even imported otherwise. No query, header or body is ever in one.
"""

import os
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from core.errors import ConfigError
from gateway.stage import Request

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_HEX = b"0123456789abcdef"
_LENGTH = 55  # 00-<32>-<16>-<2>
_POOL_BYTES = 8192
_PATH_CHARACTERS = 1024
_PARENT = "trace.parent"
_SAMPLED = frozenset(b"13579bdf")


def valid_trace(value: bytes) -> bytes:
    """A traceparent as received → the part of it that is understood, or empty (W3C Trace Context §3.2.2, §4.3). A later version may
    carry more. Where it is empty, tracestate must not be passed on either."""
    head = value[:_LENGTH]
    if len(head) < _LENGTH or head[2] != 45 or head[35] != 45 or head[52] != 45 or head.translate(None, _HEX) != b"---":
        return b""
    if head[:2] == b"ff" or head[3:35] == b"0" * 32 or head[36:52] == b"0" * 16:
        return b""
    if len(value) > _LENGTH and (head[:2] == b"00" or value[_LENGTH] != 45):
        return b""
    return head


class SpanSink(Protocol):
    """Where finished requests of sampled traces go."""

    def emit(self, request: Request, parent: bytes) -> None:
        """`parent` is the traceparent that came in, empty for a new trace. Never waits."""
        ...

    def close(self) -> None:
        """Export what is left. Blocks for some seconds at most."""
        ...


class Tracer:
    """`begin` and `on_end` for each request. `ratio` is the share of new traces that is sampled."""

    def __init__(self, *, ratio: float = 0.0, sink: SpanSink | None = None) -> None:
        self._bound = int(ratio * (1 << 64))
        self._sink = sink
        self._pool = b""
        self._at = 0

    def next_trace(self, incoming: bytes) -> bytes:
        """The traceparent for upstream: the same trace with a new span id, or a new trace. `incoming` is valid or empty."""
        at = self._at
        if at + 48 > len(self._pool):
            self._pool, at = os.urandom(_POOL_BYTES).hex().encode(), 0  # one system call for 340 requests
        pool = self._pool
        if incoming:
            self._at = at + 16
            return b"00-%b-%b-%b" % (incoming[3:35], pool[at : at + 16], b"01" if incoming[54] in _SAMPLED else b"00")
        self._at = at + 48
        is_sampled = self._bound and int(pool[at + 16 : at + 32], 16) < self._bound
        return b"00-%b-%b-%b" % (pool[at : at + 32], pool[at + 32 : at + 48], b"01" if is_sampled else b"00")

    def begin(self, request: Request) -> None:
        """`request.trace` is what came in (see `valid_trace`) and becomes what goes on."""
        parent = request.trace
        request.trace = trace = self.next_trace(parent)
        if parent and self._sink is not None and trace[54] == 49:
            request.attributes[_PARENT] = parent

    def on_end(self, request: Request) -> None:
        if self._sink is not None and request.trace.endswith(b"-01"):
            attributes = request._attributes  # the property would make a dictionary
            self._sink.emit(request, attributes.get(_PARENT, b"") if attributes is not None else b"")


class OtlpSpans:
    """Spans to a collector (`http://host:4318`), in batches from a thread of the SDK's own. At most 2048 wait; more are dropped."""

    def __init__(self, collector: str, *, version: str, node: str, delay_s: float = 2.0) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        url = urlsplit(collector)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError("traces: expected the URL of an OTLP collector, such as http://collector:4318")
        self._resource = Resource({"service.name": "zhiyun-gateway", "service.version": version, "service.instance.id": node})
        self._scope = InstrumentationScope("zhiyun.gateway", version)
        exporter = OTLPSpanExporter(endpoint=f"{collector.rstrip('/')}/v1/traces", timeout=5)
        self._processor = BatchSpanProcessor(exporter, max_queue_size=2048, schedule_delay_millis=delay_s * 1000)
        self._ids = Tracer()

    def emit(self, request: Request, parent: bytes) -> None:
        """The server's span, and the upstream's where its time is known."""
        end = time.time_ns()
        start = end - int((request.ended - request.started) * 1e9)
        context = _context(request.trace)
        name = request.pipe.name if request.pipe is not None else "(none)"
        facts = _facts(request, name)
        self._end(f"{request.method} {name}", context, _context(parent) if parent else None, "SERVER", facts, start, end)
        taken_s = request.attributes.get("upstream_s", 0)
        if request.upstream and taken_s:
            child = _context(self._ids.next_trace(request.trace))
            begun = max(start, end - int(taken_s * 1e9))
            self._end(f"upstream {name}", child, context, "CLIENT", {"server.address": request.upstream}, begun, end)

    def _end(
        self,
        name: str,
        context: "SpanContext",
        parent: "SpanContext | None",
        kind: str,
        facts: dict[str, Any],
        start: int,
        end: int,
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        has_failed = facts.get("http.response.status_code", 0) >= 500
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            facts,
            kind=SpanKind[kind],
            status=Status(StatusCode.ERROR if has_failed else StatusCode.UNSET),
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

    def close(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _conforms(spans: OtlpSpans) -> SpanSink:
    return spans


def _context(trace: bytes) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace[3:35], 16), int(trace[36:52], 16), is_remote=False, trace_flags=TraceFlags(int(trace[53:55], 16)))


def _facts(request: Request, route: str) -> dict[str, Any]:
    """OpenTelemetry's names for HTTP servers, and our own below `zhiyun.`."""
    facts: dict[str, Any] = {
        "http.request.method": request.method,
        "http.response.status_code": request.status,
        "http.request.body.size": request.received_bytes,
        "http.response.body.size": request.sent_bytes,
        "url.path": request.path[:_PATH_CHARACTERS],
        "url.scheme": request.scheme,
        "client.address": request.remote,
        "zhiyun.route": route,
        "zhiyun.request_id": request.request_id,
    }
    cache = request.attributes.get("cache", "")
    optional = {
        "error.type": request.error_code,
        "zhiyun.app": request.identity.app if request.identity is not None else "",
        "zhiyun.cache": cache,
        "server.address": request.host.decode("latin-1"),
    }
    return facts | {name: value for name, value in optional.items() if value}
