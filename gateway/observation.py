"""Everything that watches a worker's requests, put together: recorder, usage, metrics file, access log, tracer."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct

from core.stores import Usage
from core.supervise import Tasks
from gateway.access_log import AccessLog, AccessLogSettings
from gateway.metrics import MetricsFile
from gateway.record import Recorder
from gateway.stage import Request
from gateway.tracing import OtlpSpans, Tracer
from gateway.usage import UsageMeter

_log = structlog.get_logger("gateway.observation")


class ObservationSettings(Struct, frozen=True):
    """`log` None: no access log. `traces` is a collector's URL (OTLP over HTTP), empty: no spans; `trace_ratio` is the share of new
    traces that is sampled."""

    log: AccessLogSettings | None = AccessLogSettings()
    traces: str = ""
    trace_ratio: float = 0.0


class Observation:
    """`observers` and `tracer.next_trace` are the engine's, `recorder.traffic` the heartbeat's. `keep` starts the loops; `close` is
    called when the last request has ended, before the database is closed. Raises ConfigError for a collector that is no URL."""

    def __init__(
        self, settings: ObservationSettings, data_dir: Path, worker: str, usage: Usage, *, node: str, version: str
    ) -> None:
        recorder = self.recorder = Recorder()
        self.meter = recorder.usage = UsageMeter(usage, recorder.fold, drops=partial(recorder.count, "dropped", "usage"))
        self.metrics_folder = data_dir / "metrics"
        self._metrics = MetricsFile(self.metrics_folder, worker, recorder)
        self._metrics.restore()
        self._spans = OtlpSpans(settings.traces, version=version, node=node) if settings.traces else None
        self.tracer = Tracer(ratio=settings.trace_ratio, sink=self._spans)
        self._access_log: AccessLog | None = None
        if settings.log is not None:
            drops = partial(recorder.count, "dropped", "access log")
            self._access_log = AccessLog(data_dir / "logs", worker, settings.log, drops=drops)
        self._loops: list[asyncio.Task[None]] = []

    @property
    def observers(self) -> tuple[Callable[[Request], None], ...]:
        """What is called with each request that ended; what is switched off is absent."""
        found: list[Callable[[Request], None]] = [self.recorder.on_end]
        if self._access_log is not None:
            found.append(self._access_log.on_end)
        if self._spans is not None:
            found.append(self.tracer.on_end)
        return tuple(found)

    def keep(self, tasks: Tasks) -> None:
        """Start the loops that write and flush."""
        self._loops = [tasks.keep(self._metrics.keep, name="metrics"), tasks.keep(self.meter.keep, name="usage")]
        if self._access_log is not None:
            self._loops.append(tasks.keep(self._access_log.keep, name="access log"))

    async def close(self) -> None:
        """End the loops, then write what has come since: usage first, which may still fail and is then lost."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if not await self.meter.flush():
            _log.error("the last usage could not be stored and is lost")
        if self._access_log is not None:
            await asyncio.to_thread(self._access_log.close)
        self._metrics.write()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
