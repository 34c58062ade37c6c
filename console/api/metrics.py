"""The platform in Prometheus' text format, made anew at each scrape from the stores and from this node's workers."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from console.api.bus import bus_state
from console.api.control import Control
from console.api.jobs import latest_runs
from console.api.messages import BusState
from core.clock import epoch_ms
from core.stores import NodeReport, Run
from core.webhooks import WebhookState
from gateway.metrics import exposition

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass(eq=False)  # the registry hashes its collectors by identity
class _Facts(Collector):
    """What one scrape shows."""

    version: str
    revision: int
    parts: dict[str, str]
    nodes: list[NodeReport]
    runs: dict[str, Run]
    quarantine: dict[str, int]
    bus: BusState
    webhooks: list[WebhookState]
    now_ms: int

    def collect(self) -> Iterator[Metric]:
        yield _gauge("zhiyun_info", "Version of the platform", ("version",), [((self.version,), 1)])
        yield _gauge("zhiyun_registry_revision", "Revision of the registry", (), [((), self.revision)])
        parts = [((name,), state == "ok") for name, state in self.parts.items()]
        yield _gauge("zhiyun_part_up", "1 while the part of the back office works", ("part",), parts)
        yield from self._nodes()
        yield from self._jobs()
        waiting = [((dataset,), count) for dataset, count in self.quarantine.items()]
        yield _gauge("zhiyun_quarantine_waiting_rows", "Bad rows that wait for a decision", ("dataset",), waiting)
        depth = [((name,), count) for name, count in self.bus.depth.items()]
        yield _gauge("zhiyun_bus_depth", "Envelopes not yet settled", ("subscription",), depth)
        yield _gauge("zhiyun_bus_dead_letters", "Dead letters (at most 1000 are counted)", (), [((), self.bus.dead_letters)])

        yield from self._webhooks()

    def _webhooks(self) -> Iterator[Metric]:
        counters: tuple[tuple[str, str, Callable[[WebhookState], float]], ...] = (
            ("zhiyun_webhook_delivered", "Messages that a webhook's receiver took", lambda w: w.delivered),
            ("zhiyun_webhook_failed", "Attempts that a webhook's receiver did not take", lambda w: w.failed),
            ("zhiyun_webhook_dead", "Messages of a webhook that were given up", lambda w: w.dead),
        )
        for name, text, value in counters:
            yield _counter(name, text, ("webhook",), [((w.name,), value(w)) for w in self.webhooks])
        gauges: tuple[tuple[str, str, Callable[[WebhookState], float]], ...] = (
            ("zhiyun_webhook_waiting", "Messages that wait for another attempt", lambda w: w.waiting),
            ("zhiyun_webhook_lag_seconds", "Age of the oldest message that waits", lambda w: w.lag_s),
            ("zhiyun_webhook_gone", "1 after the receiver answered 410", lambda w: w.state == "gone"),
        )
        for name, text, value in gauges:
            yield _gauge(name, text, ("webhook",), [((w.name,), value(w)) for w in self.webhooks])

    def _nodes(self) -> Iterator[Metric]:
        gauges: tuple[tuple[str, str, Callable[[NodeReport], float]], ...] = (
            ("zhiyun_node_age_seconds", "Since the process last reported", lambda r: (self.now_ms - r.seen_ms) / 1000),
            ("zhiyun_node_revision", "Configuration revision that the process runs", lambda r: r.revision),
            ("zhiyun_node_requests_per_second", "Requests a second", lambda r: r.requests_per_s),
            ("zhiyun_node_latency_p50_seconds", "Median latency of the last second", lambda r: r.p50_ms / 1000),
            ("zhiyun_node_latency_p99_seconds", "99th percentile of the last second", lambda r: r.p99_ms / 1000),
        )
        for name, text, value in gauges:
            yield _gauge(name, text, ("node", "role"), [((r.node, r.role), value(r)) for r in self.nodes])
        requests = [((r.node, r.role), r.requests) for r in self.nodes]
        yield _counter("zhiyun_node_requests", "Requests since the process started", ("node", "role"), requests)
        errors = [((r.node, r.role), r.errors) for r in self.nodes]
        yield _counter("zhiyun_node_errors", "Answers of 500 and above since start", ("node", "role"), errors)

    def _jobs(self) -> Iterator[Metric]:
        runs = self.runs.values()
        states = [((run.job, run.state), 1) for run in runs]
        yield _gauge("zhiyun_job_state", "State of the job's last or present run", ("job", "state"), states)
        yield _gauge("zhiyun_job_rows", "Rows of the job's last or present run", ("job",), [((r.job,), r.rows) for r in runs])
        bad = [((r.job,), r.bad_rows) for r in runs]
        yield _gauge("zhiyun_job_bad_rows", "Bad rows of the job's last or present run", ("job",), bad)
        started = [((r.job,), r.started_ms / 1000) for r in runs]
        yield _gauge("zhiyun_job_started_seconds", "When that run started, since 1970", ("job",), started)


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


async def metrics_text(control: Control) -> bytes:
    """One scrape. Raises what the stores raise: a scrape that can't be answered fails."""
    names = [job.name for job in await control.registry.list("job")]
    facts = _Facts(
        version=control.version,
        revision=await control.registry.revision(),
        parts=await control.parts.check(),
        nodes=await control.nodes.all(),
        runs=await latest_runs(control, names),
        quarantine=await control.quarantine.count(),
        bus=await bus_state(control),
        webhooks=await control.webhook_states.all() if control.webhook_states is not None else [],
        now_ms=epoch_ms(),
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(facts)
    text = generate_latest(registry)
    if control.metrics_folder is not None:
        text += await asyncio.to_thread(exposition, control.metrics_folder)
    return text
