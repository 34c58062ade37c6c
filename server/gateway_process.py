"""A gateway worker: snapshot → pipes, listener, heartbeat. Run by the supervisor: python -m server.gateway_process NUMBER SOCKET"""

import asyncio
import math
import socket
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec

from config.settings import Settings
from core.bus import Reader, Subscription
from core.purges import PURGED_PATTERN, purge_of
from core.sessions import Revocation
from exchange.services.tiers import Tiers
from exchange.sinks import CHANGED_PATTERN
from gateway.access.assembly import AccessParts
from gateway.access.dpop import DpopProofs
from gateway.access.key_sets import KeySets
from gateway.access_log import AccessLogSettings
from gateway.addresses import Networks
from gateway.certificates import RELOAD_S, Certificates
from gateway.http1.engine import Engine
from gateway.http1.outbound import close_idle, tls_context
from gateway.listener import Listener, bind
from gateway.metrics import MetricsEndpoint
from gateway.numbered_feed import NumberedFeed
from gateway.observation import Observation, ObservationSettings
from gateway.pipe import Pipe
from gateway.pipeline import Composer, Gateway, Lasting, resting_collector
from gateway.quota_file import QuotaFile
from gateway.sessions import SessionParts, open_sessions
from gateway.stage import Request
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.watch import Watch
from registry.announced import CHANGED as REGISTRY_CHANGED
from registry.snapshot import Snapshot
from registry.snapshot_watcher import SnapshotWatcher
from server.child import Child, run
from server.data_services import make_services, make_tiers, make_transactions, prepare_mirror
from server.heartbeat import beat
from server.parts import Parts, open_parts
from server.snapshots import follow, watcher_of
from server.sources import SourcePool
from server.version import VERSION

_POOL_SWEEP_S = 5.0
_PURGES_S = 1.0  # a purge comes by the bus; this is for when it is down


class _Worker:
    """Holds what a reload replaces, and what outlives it."""

    def __init__(self, parts: Parts, child: Child, sessions: SessionParts, observation: Observation) -> None:
        self._parts = parts
        self._observation = observation
        self.pool = SourcePool(parts.adapters, parts.clock, child.tasks)
        self.tiers = make_tiers(parts)
        self.gateway = Gateway()
        access = AccessParts(KeySets(child.tasks), DpopProofs(parts.replays), parts.replays, sessions.revocations)
        limits = parts.limits
        self.lasting = Lasting(limits.shared, limits.local, access, sessions, parts.usage, child.tasks.spawn)
        self._composer = Composer(self.lasting)
        self._watch = Watch(self.lasting.upstreams, child.tasks, context_of=tls_context, removed=_gone)
        self.revision = 0

    async def load(self, snapshot: Snapshot) -> None:
        """Build everything for the new snapshot, then swap. Requests that have begun end on the old one."""
        await prepare_mirror(snapshot.platform, self._parts, may_be_down=True)
        self.pool.reload(snapshot.platform)
        made = make_services(snapshot.platform, self._parts, self.pool, self.tiers)
        _gone(self.lasting.upstreams.reload(snapshot.platform.upstreams))
        self._watch.reload()
        with resting_collector():
            entries = self._composer.compose(snapshot, made.services, make_transactions(made, self._parts))
            self.gateway.swap(entries)
        self._observation.recorder.follow({pipe.name for _, pipe in entries})
        self.revision = snapshot.revision

    async def reload(self, snapshot: Snapshot, engine: Engine) -> None:
        """Streams and tunnels were allowed by the snapshot before: an app may have lost its right since."""
        await self.load(snapshot)
        engine.end_streams()
        engine.recheck()


def _gone(endpoints: Iterable[EndpointState]) -> None:
    for endpoint in endpoints:
        close_idle(endpoint, before=math.inf)


async def _announce(reader: Reader, tiers: Tiers) -> None:
    """Control messages that a dataset has changed: its cached answers go at once."""
    while True:
        delivery = await reader.next()
        change = msgspec.json.decode(delivery.envelope.data, type=dict[str, str | int])
        tiers.announce(str(change["dataset"]), int(change["version"]))
        await delivery.ack()


async def _wake(reader: Reader, watcher: SnapshotWatcher) -> None:
    """Control messages that the registry has changed: it is asked now, not a quarter of a second later."""
    while True:
        delivery = await reader.next()
        watcher.tell()
        await delivery.ack()


async def main(child: Child) -> None:
    settings = child.settings
    parts = await open_parts(settings, child.stack, role=f"gateway-{_worker_number()}")
    sessions = await open_sessions(
        parts.app_sessions, parts.bus, child.tasks, node=parts.node, public_url=settings.public_url.rstrip("/")
    )
    observation = _observation(parts, settings)
    child.stack.push_async_callback(observation.close)  # when the last request has ended, before the database is closed
    worker = _Worker(parts, child, sessions, observation)
    child.stack.push_async_callback(worker.pool.close)
    watcher = watcher_of(parts, "")
    changed = await _broadcast(parts, "caches", CHANGED_PATTERN)
    declared = await _broadcast(parts, "snapshots", REGISTRY_CHANGED)
    purged = await _broadcast(parts, "answers", PURGED_PATTERN)
    await worker.load(await watcher.current())
    engine = Engine(
        worker.gateway,
        spawn=lambda work, name: child.tasks.spawn(work, name=name),
        observers=observation.observers,
        is_trusted=trusted(settings),
        next_trace=observation.tracer.next_trace,
        count=observation.recorder.count,
        allowed_until=worker.gateway.allowed_until,
    )
    _end_revoked(engine, sessions)
    observation.recorder.gauges.update(
        connections=lambda: len(engine.connections),
        in_flight=lambda: sum(each.exchange is not None for each in engine.connections),
        tunnels=lambda: sum(each.tunnelled is not None for each in engine.connections),
        cache_bytes=lambda: worker.lasting.responses.bytes,
        cache_entries=lambda: len(worker.lasting.responses),
    )
    if parts.limits.shared is parts.limits.local:
        quotas = QuotaFile(settings.data_dir / f"quotas-{_worker_number()}.msgpack", parts.limits.local)
        quotas.load()
        child.tasks.keep(quotas.keep, name="quotas")
    listener = await _listen(child, engine)
    await _serve_metrics(child, observation)
    observation.keep(child.tasks)
    child.tasks.keep(lambda: follow(watcher, lambda snapshot: worker.reload(snapshot, engine)), name="snapshot")
    child.tasks.keep(lambda: _announce(changed, worker.tiers), name="invalidation")
    child.tasks.keep(lambda: _wake(declared, watcher), name="registry")
    purges = NumberedFeed("purges", parts.purges.read, worker.lasting.responses.take_purges, purge_of, interval_s=_PURGES_S)
    child.tasks.keep(lambda: purges.listen(purged), name="purges told")
    child.tasks.keep(purges.poll, name="purges read")
    child.tasks.keep(lambda: _close_idle(worker), name="idle connections")
    child.tasks.keep(lambda: beat(parts, "gateway", lambda: worker.revision, observation.recorder.traffic), name="heartbeat")
    child.ready(port=listener.port)
    await child.stopping.wait()
    await listener.close(child.settings.drain_s)  # before the tasks end: requests under way are some of them


async def _broadcast(parts: Parts, name: str, pattern: str) -> Reader:
    return await parts.bus.subscribe(Subscription(name=f"{name}-{parts.node}", pattern=pattern, channel="control", durable=False))


def _observation(parts: Parts, settings: Settings) -> Observation:
    log = AccessLogSettings(sample=settings.access_log) if settings.access_log > 0 else None
    chosen = ObservationSettings(log=log, traces=settings.traces, trace_ratio=settings.trace_share)
    return Observation(chosen, settings.data_dir, _worker_number(), parts.usage, node=parts.node, version=VERSION)


def _end_revoked(engine: Engine, sessions: SessionParts) -> None:
    """A session that is revoked takes its open tunnels and streams with it."""

    def ended(news: Sequence[Revocation]) -> None:
        names = {(each.scope, each.name) for each in news}

        def is_concerned(request: Request) -> bool:
            who = request.identity
            return who is not None and not names.isdisjoint((("session", who.session), ("app", who.app), ("device", who.device)))

        engine.recheck(is_concerned)
        engine.end_streams()  # their readers come again, and are asked again who they are

    sessions.revocations.on_revoked(ended)


async def _close_idle(worker: _Worker) -> None:
    """Keep-alive connections to upstreams that nobody has used for long."""
    while True:
        await asyncio.sleep(_POOL_SWEEP_S)
        now = asyncio.get_running_loop().time()
        for upstream in worker.lasting.upstreams.all():
            for endpoint in upstream.endpoints:
                close_idle(endpoint, before=now - upstream.declared.idle_s)


async def _listen(child: Child, engine: Engine) -> Listener:
    """On the socket that the supervisor holds, so that nobody is refused while this process is started again."""
    settings = child.settings
    certificates = None
    if settings.tls is not None:
        certificates = Certificates(settings.tls, clients=settings.tls_clients, client_ca=settings.tls_client_ca)
        child.tasks.keep(lambda: _renew(certificates), name="certificates")
    expects_proxy = engine.is_trusted if settings.proxy_protocol else None
    listener = Listener(engine, child.tasks, certificates=certificates, expects_proxy=expects_proxy)
    shared = socket.socket(fileno=int(sys.argv[2])) if len(sys.argv) > 2 else bind(settings.http.host, settings.http.port)
    await listener.start(shared)
    return listener


async def _renew(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(RELOAD_S)
        certificates.reload()


class _Metrics:
    """gateway.http1.engine.Finder of a port that has the figures of this node's workers and nothing else."""

    def __init__(self, endpoint: MetricsEndpoint) -> None:
        self._pipe = Pipe("metrics", (), kind="platform", handler=endpoint)

    def find(self, request: Request) -> Pipe:
        return self._pipe


async def _serve_metrics(child: Child, observation: Observation) -> None:
    address = child.settings.metrics
    if address is None:
        return
    engine = Engine(
        _Metrics(MetricsEndpoint(observation.metrics_folder)), spawn=lambda work, name: child.tasks.spawn(work, name=name)
    )
    listener = Listener(engine, child.tasks)
    await listener.start(bind(address.host, address.port))
    child.stack.push_async_callback(listener.close, 1.0)


def trusted(settings: Settings) -> Callable[[str], bool]:
    """Whether an address is one of the trusted proxies'."""
    networks = Networks(settings.trusted_proxies)
    return networks.__contains__ if settings.trusted_proxies else lambda _: False


def _worker_number() -> str:
    return sys.argv[1] if len(sys.argv) > 1 else "0"


if __name__ == "__main__":
    sys.exit(run(main, process=f"gateway-{_worker_number()}"))
