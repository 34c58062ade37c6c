"""A gateway worker: snapshot → routes, listener, heartbeat. Run by the supervisor as `python -m server.gateway_process`."""

import sys

import msgspec

from core.bus import Reader, Subscription
from exchange.services.tiers import Tiers
from exchange.sinks import CHANGED_PATTERN
from gateway.listener import Listener
from gateway.pipeline import Gateway, compose
from gateway.traffic import Traffic
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
        self.revision = 0

    async def load(self, snapshot: Snapshot) -> None:
        """Build everything for the new snapshot, then swap. Requests that have begun end on the old one."""
        await prepare_mirror(snapshot.platform, self._parts, may_be_down=True)
        self.pool.reload(snapshot.platform)
        made = make_services(snapshot.platform, self._parts, self.pool, self.tiers)
        self.gateway.swap(compose(snapshot, made.services, self._parts.limits))
        self.revision = snapshot.revision

    async def reload(self, snapshot: Snapshot, listener: Listener) -> None:
        """Streams were allowed by the snapshot before: an app may have lost its right since."""
        await self.load(snapshot)
        listener.end_streams()


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
    listener = Listener(worker.gateway, traffic.observe, drain_s=child.settings.drain_s)
    await listener.start(child.settings.http.host, child.settings.http.port)
    child.stack.push_async_callback(listener.close)
    child.tasks.keep(lambda: follow(watcher, lambda snapshot: worker.reload(snapshot, listener)), name="snapshot")
    child.tasks.keep(lambda: _announce(control, worker.tiers), name="invalidation")
    child.tasks.keep(lambda: beat(parts, "gateway", lambda: worker.revision, traffic), name="heartbeat")
    child.tell("ready", port=listener.port)
    await child.stopping.wait()


def _worker_number() -> str:
    return sys.argv[1] if len(sys.argv) > 1 else "0"


if __name__ == "__main__":
    sys.exit(run(main, process=f"gateway-{_worker_number()}"))
