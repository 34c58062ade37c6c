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

_POOL_BYTES = 8192
_PATH_CHARACTERS = 1024
_SAMPLED = frozenset(b"13579bdf")


class SpanSink(Protocol):
    """Where finished requests of sampled traces go."""

    def emit(self, request: Request) -> None:
        """`request.trace` is what went upstream. Never waits."""
        ...

    def close(self) -> None:
        """Export what is left. Blocks for some seconds at most."""
        ...


class Tracer:
    """`next_trace` when a request has come, `on_end` when it is over. `ratio` is the share of new traces that is sampled."""

    def __init__(self, *, ratio: float = 0.0, sink: SpanSink | None = None) -> None:
        self._bound = int(ratio * (1 << 64))
        self._sink = sink
        self._pool = b""
        self._at = 0

    def next_trace(self, incoming: bytes) -> bytes:
        """The traceparent for upstream: the same trace with a new span id, or a new trace. `incoming` is what `http1.head` has
        found valid, or empty."""
        at = self._at
        if at + 48 > len(self._pool):
            self._pool, at = os.urandom(_POOL_BYTES).hex().encode(), 0  # one system call for 340 requests
        pool = self._pool
        if incoming:
            self._at = at + 16
            return incoming[:36] + pool[at : at + 16] + (b"-01" if incoming[54] in _SAMPLED else b"-00")
        self._at = at + 48
        is_sampled = self._bound and int(pool[at + 16 : at + 32], 16) < self._bound
        flags = b"-01" if is_sampled else b"-00"
        return b"00-" + pool[at : at + 32] + b"-" + pool[at + 32 : at + 48] + flags

    def on_end(self, request: Request) -> None:
        if self._sink is not None and request.trace.endswith(b"-01"):
            self._sink.emit(request)


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

    def emit(self, request: Request) -> None:
        """The server's span, and the upstream's where its time is known."""
        end = time.time_ns()
        start = end - int((request.ended - request.started) * 1e9)
        context = _context(request.trace)
        name = request.pipe.name if request.pipe is not None else "(none)"
        facts = _facts(request, name)
        self._end(f"{request.method} {name}", context, _parent(request), "SERVER", facts, start, end)
        taken_s = request.upstream_s
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


def _parent(request: Request) -> "SpanContext | None":
    """The span that called. What came in was understood only if it is of the trace that went on."""
    came = request.headers.get("traceparent", "").encode()
    return _context(came[:55]) if came[3:35] == request.trace[3:35] else None


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
