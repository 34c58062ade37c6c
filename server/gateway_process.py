"""A gateway worker: snapshot → routes, listener, heartbeat. Run by the supervisor as `python -m server.gateway_process`."""

import asyncio
import math
import socket
import sys
from collections.abc import Callable

import msgspec

from config.settings import Settings
from core.bus import Reader, Subscription
from exchange.services.tiers import Tiers
from exchange.sinks import CHANGED_PATTERN
from gateway.addresses import Networks
from gateway.certificates import RELOAD_S, Certificates
from gateway.http1.engine import Engine
from gateway.http1.outbound import close_idle
from gateway.listener import Listener, bind
from gateway.pipeline import Gateway, compose
from gateway.traffic import Traffic
from gateway.upstream.upstream import Upstreams
from registry.snapshot import Snapshot
from server.child import Child, run
from server.data_services import make_services, make_tiers, prepare_mirror
from server.heartbeat import beat
from server.parts import Parts, open_parts
from server.snapshots import follow, watcher_of
from server.sources import SourcePool


class _Worker:
    """Holds what a reload replaces."""

    def __init__(self, parts: Parts, child: Child) -> None:
        self._parts = parts
        self.pool = SourcePool(parts.adapters, parts.clock, child.tasks)
        self.tiers = make_tiers(parts)
        self.gateway = Gateway()
        self.upstreams = Upstreams()
        self.revision = 0

    async def load(self, snapshot: Snapshot) -> None:
        """Build everything for the new snapshot, then swap. Requests that have begun end on the old one."""
        await prepare_mirror(snapshot.platform, self._parts, may_be_down=True)
        self.pool.reload(snapshot.platform)
        made = make_services(snapshot.platform, self._parts, self.pool, self.tiers)
        for endpoint in self.upstreams.reload(snapshot.platform.upstreams):
            close_idle(endpoint, before=math.inf)
        self.gateway.swap(compose(snapshot, made.services, self._parts.limits, self.upstreams))
        self.revision = snapshot.revision

    async def reload(self, snapshot: Snapshot, engine: Engine) -> None:
        """Streams and tunnels were allowed by the snapshot before: an app may have lost its right since."""
        await self.load(snapshot)
        engine.end_streams()
        engine.recheck(self.gateway.still_allows)


async def _announce(reader: Reader, tiers: Tiers) -> None:
    """Control messages that a dataset has changed: its cached answers go at once."""
    while True:
        delivery = await reader.next()
        change = msgspec.json.decode(delivery.envelope.data, type=dict[str, str | int])
        tiers.announce(str(change["dataset"]), int(change["version"]))
        await delivery.ack()


async def main(child: Child) -> None:
    parts = await open_parts(child.settings, child.stack, role=f"gateway-{_worker_number()}")
    worker = _Worker(parts, child)
    child.stack.push_async_callback(worker.pool.close)
    watcher = watcher_of(parts, "")
    control = await parts.bus.subscribe(
        Subscription(name=f"caches-{parts.node}", pattern=CHANGED_PATTERN, channel="control", durable=False)
    )
    await worker.load(await watcher.current())
    traffic = Traffic()
    engine = Engine(
        worker.gateway,
        spawn=lambda work, name: child.tasks.spawn(work, name=name),
        observers=(traffic.ended,),
        is_trusted=trusted(child.settings),
    )
    listener = await _listen(child, engine)
    child.tasks.keep(lambda: follow(watcher, lambda snapshot: worker.reload(snapshot, engine)), name="snapshot")
    child.tasks.keep(lambda: _announce(control, worker.tiers), name="invalidation")
    child.tasks.keep(lambda: beat(parts, "gateway", lambda: worker.revision, traffic), name="heartbeat")
    child.tell("ready", port=listener.port)
    await child.stopping.wait()


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
    child.stack.push_async_callback(listener.close, settings.drain_s)
    return listener


async def _renew(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(RELOAD_S)
        certificates.reload()


def trusted(settings: Settings) -> Callable[[str], bool]:
    """Whether an address is one of the trusted proxies'."""
    networks = Networks(settings.trusted_proxies)
    return networks.__contains__ if settings.trusted_proxies else lambda _: False


def _worker_number() -> str:
    return sys.argv[1] if len(sys.argv) > 1 else "0"


if __name__ == "__main__":
    sys.exit(run(main, process=f"gateway-{_worker_number()}"))
