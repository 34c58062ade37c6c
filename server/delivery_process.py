"""Deliveries: bus → mirror and webhooks, in a process of its own, so that a full load reads and converts while another core writes.

Run by the supervisor as `python -m server.delivery_process`, one beside each back office (ADR 0011).
"""

import asyncio
import sys

from bus.delivery import Draining, deliver
from core.bus import Subscription
from exchange.sinks import MirrorSink
from gateway.traffic import Traffic
from registry.snapshot import Snapshot
from server import child as process
from server.child import Child
from server.data_services import prepare_mirror
from server.heartbeat import beat
from server.parts import DELIVERIES, open_parts
from server.snapshots import follow, watcher_of
from server.webhooks import Webhooks

MIRROR = Subscription(name="mirror", pattern="#", max_attempts=10)
# The first is short: a dataset that was declared a moment ago is known here within a quarter of a second.
_DELAYS_S = (0.3, 1.0, 5.0, 30.0, 120.0, 600.0)


async def main(child: Child) -> None:
    parts = await open_parts(child.settings, child.stack, role=DELIVERIES)
    revision = 0
    webhooks = Webhooks(parts, child.tasks)

    async def load(snapshot: Snapshot) -> None:
        nonlocal revision
        await prepare_mirror(snapshot.platform, parts)
        webhooks.reload(snapshot.platform)
        revision = snapshot.revision

    watcher = watcher_of(parts, "-deliveries")
    await load(await watcher.current())
    reader = await parts.bus.subscribe(MIRROR)
    draining = Draining()
    sink = MirrorSink(parts.mirror, parts.bus, node=parts.node)
    delivery = child.tasks.keep(lambda: deliver(reader, sink, delays_s=_DELAYS_S, draining=draining), name="mirror")
    sending = child.tasks.keep(webhooks.keep, name="webhooks")
    child.tasks.keep(lambda: follow(watcher, load), name="snapshot")
    child.tasks.keep(lambda: beat(parts, "deliveries", lambda: revision, Traffic()), name="heartbeat")
    child.ready()
    await child.stopping.wait()
    draining.begin()
    sending.cancel()
    await asyncio.wait([delivery], timeout=child.settings.drain_s)


if __name__ == "__main__":
    sys.exit(process.run(main, process="deliveries"))
