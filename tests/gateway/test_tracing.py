"""Trace context as the W3C has it, and spans that a real OTLP/HTTP receiver decodes."""

import gzip
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.errors import ConfigError
from gateway.stage import Request
from gateway.tracing import OtlpSpans, Tracer
from tests.gateway.observed import ended

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
_FORM = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
INCOMING = b"00-" + TRACE + b"-00f067aa0ba902b7-01"


def test_a_traceparent_goes_on_with_a_new_span() -> None:
    onward = Tracer().next_trace(INCOMING)
    assert _FORM.fullmatch(onward)
    assert onward.startswith(b"00-" + TRACE + b"-")
    assert onward[36:52] != INCOMING[36:52]
    assert onward.endswith(b"-01")


@pytest.mark.parametrize(("flags", "passed"), [(b"00", b"00"), (b"01", b"01"), (b"02", b"00"), (b"03", b"01"), (b"ff", b"01")])
def test_the_callers_decision_is_kept_and_unknown_flags_are_not(flags: bytes, passed: bytes) -> None:
    for ratio in (0.0, 1.0):
        assert Tracer(ratio=ratio).next_trace(INCOMING[:-2] + flags).endswith(b"-" + passed)


def test_ids_do_not_repeat() -> None:
    tracer = Tracer()
    made = [tracer.next_trace(b"") for _ in range(5000)] + [tracer.next_trace(INCOMING) for _ in range(5000)]
    assert all(map(_FORM.fullmatch, made))
    assert len({each[3:35] for each in made}) == 5001
    assert len({each[36:52] for each in made}) == 10_000


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (0.25, 900, 1600), (1.0, 5000, 5000)])
def test_a_share_of_new_traces_is_sampled(ratio: float, least: int, most: int) -> None:
    tracer = Tracer(ratio=ratio)
    assert least <= sum(tracer.next_trace(b"").endswith(b"-01") for _ in range(5000)) <= most


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def spans(self) -> list[Any]:
        return [span for each in self.requests for r in each.resource_spans for scope in r.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes_of(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def traced(tracer: Tracer, request: Request, incoming: bytes = b"") -> Request:
    if incoming:
        request._headers = {"traceparent": incoming.decode()}
    request.trace = tracer.next_trace(incoming)
    tracer.on_end(request)
    return request


def test_a_sampled_request_arrives_at_the_collector_without_secrets(collector: Collector) -> None:
    spans = OtlpSpans(collector.url + "/", version="9.8.7", node="node-1")
    tracer = Tracer(sink=spans)
    request = ended("/v1/customers/K1?token=secret", status=503, code="unavailable", cache="miss", took_s=0.25)
    request.authorization = b"Bearer secret"
    request.upstream = "http://10.0.0.7:9000"
    request.upstream_s = 0.125
    traced(tracer, request, INCOMING)
    spans.close()
    server, upstream = collector.spans
    assert (server.trace_id, server.parent_span_id) == (bytes.fromhex(TRACE.decode()), bytes.fromhex("00f067aa0ba902b7"))
    assert server.span_id == bytes.fromhex(request.trace[36:52].decode())
    assert (server.name, server.kind, server.status.code) == ("GET customers", 2, 2)
    assert abs(server.end_time_unix_nano - server.start_time_unix_nano - 250_000_000) < 1000
    assert attributes_of(server) == {
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "http.request.body.size": 10,
        "http.response.body.size": 100,
        "url.path": "/v1/customers/K1",
        "url.scheme": "http",
        "client.address": "127.0.0.1",
        "server.address": "gateway",
        "zhiyun.route": "customers",
        "zhiyun.request_id": request.request_id,
        "zhiyun.app": "shop",
        "zhiyun.cache": "miss",
        "error.type": "unavailable",
    }
    assert (upstream.parent_span_id, upstream.trace_id, upstream.kind) == (server.span_id, server.trace_id, 3)
    assert upstream.end_time_unix_nano - upstream.start_time_unix_nano == 125_000_000
    assert b"secret" not in collector.requests[0].SerializeToString()
    resource = {each.key: each.value.string_value for each in collector.requests[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.version"], resource["service.instance.id"]) == (
        "zhiyun-gateway",
        "9.8.7",
        "node-1",
    )


def test_what_is_not_sampled_makes_no_span(collector: Collector) -> None:
    spans = OtlpSpans(collector.url, version="1", node="n")
    tracer = Tracer(sink=spans)
    unsampled = traced(tracer, ended(), INCOMING[:-2] + b"00")
    traced(tracer, ended())
    traced(Tracer(ratio=1.0, sink=spans), ended(route=None, app=None))
    spans.close()
    (span,) = collector.spans
    assert (span.name, span.parent_span_id) == ("GET (none)", b"")
    assert unsampled._attributes is None


def test_a_collector_must_be_a_url() -> None:
    with pytest.raises(ConfigError, match="traces: expected the URL"):
        OtlpSpans("collector:4318", version="1", node="n")


def test_without_a_collector_nothing_of_the_sdk_is_imported() -> None:
    use = "import sys, gateway.tracing as t; t.Tracer(ratio=1).next_trace(b'')"
    look = "sys.exit(any('opentelemetry' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", f"{use}; {look}"], check=False).returncode == 0
