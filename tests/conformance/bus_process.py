"""A process that publishes or reads until it is killed: `bus_process.py KIND ADDRESS publish|read|poison NAME`.

It prints a line for each envelope after the bus has confirmed it (publish), before it is settled (poison), or after (read).
"""

import asyncio
import itertools
import sys
from pathlib import Path

from bus.embedded import EmbeddedTransport
from core.bus import Envelope, Subscription


def say(line: str) -> None:
    print(line, flush=True)


async def publish(transport: EmbeddedTransport, name: str) -> None:
    for number in itertools.count():
        envelope_id = f"{name}-{number}"
        envelope = Envelope(envelope_id, "sales.orders.upsert", "test", number, "one", 1, "text/plain", b"x" * 200)
        await transport.publish([envelope])
        say(envelope_id)


async def read(transport: EmbeddedTransport, name: str, *, settles: bool) -> None:
    reader = await transport.subscribe(Subscription(name, "#"))
    while True:
        delivery = await reader.next()
        if settles:
            await delivery.ack()
        say(f"{delivery.envelope.id} {delivery.attempt}")


async def main(kind: str, address: str, role: str, name: str) -> None:
    transport = EmbeddedTransport(Path(address))
    await transport.open()
    if role == "publish":
        await publish(transport, name)
    else:
        await read(transport, name, settles=role == "read")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
