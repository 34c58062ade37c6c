"""A process that publishes or reads until it is killed: `bus_process.py KIND ADDRESS publish|read|poison NAME`.

It prints a line for each envelope after the bus has confirmed it (publish), or before it is settled (read, poison).
"""

import asyncio
import itertools
import sys
from pathlib import Path

from bus.embedded import EmbeddedTransport
from bus.rabbitmq import RabbitTransport
from core.bus import Envelope, Subscription


def say(line: str) -> None:
    print(line, flush=True)


async def publish(transport: EmbeddedTransport | RabbitTransport, name: str) -> None:
    for number in itertools.count():
        envelope_id = f"{name}-{number}"
        envelope = Envelope(envelope_id, "sales.orders.upsert", "test", number, "one", 1, "text/plain", b"x" * 200)
        await transport.publish([envelope])
        say(envelope_id)


async def read(transport: EmbeddedTransport | RabbitTransport, name: str) -> None:
    reader = await transport.subscribe(Subscription(name, "#"))
    while True:
        delivery = await reader.next()
        say(f"{delivery.envelope.id} {delivery.attempt}")  # the sink has it; what is killed before the ack comes again
        await delivery.ack()


async def poison(transport: EmbeddedTransport | RabbitTransport, name: str) -> None:
    delivery = await (await transport.subscribe(Subscription(name, "#"))).next()
    say(f"{delivery.envelope.id} {delivery.attempt}")
    await asyncio.Event().wait()  # until it is killed with the envelope in its hands


ROLES = {"publish": publish, "read": read, "poison": poison}


async def main(kind: str, address: str, role: str, name: str) -> None:
    transport = EmbeddedTransport(Path(address)) if kind == "embedded" else RabbitTransport(address, node=name)
    await transport.open()
    await ROLES[role](transport, name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
