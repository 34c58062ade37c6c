"""The broker feed's records: fixed-width GB 18030, kept as the frames that the socket will send."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from examples.estate import vocabulary
from examples.estate.people import Person
from examples.estate.world import FIRST_DAY, LAST_MOMENT, Deal, Lead, World, moment

WIDTHS: Final = (
    ("seq", 10),
    ("broker_id", 10),
    ("name", 20),
    ("mobile", 11),
    ("company", 40),
    ("event", 12),
    ("customer_mobile", 11),
    ("amount", 14),
    ("occurred_at", 14),
)
"""Field and width in bytes; 142 bytes a record. seq is padded with zeros, amount on the left, all else on the right."""
SCHEMA: Final = """
CREATE TABLE record (seq INTEGER PRIMARY KEY, frame BLOB NOT NULL);
CREATE TABLE broker (broker_id TEXT PRIMARY KEY, name TEXT NOT NULL, mobile TEXT NOT NULL, company TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Broker:
    broker_id: str
    name: str
    mobile: str
    company: str


@dataclass(frozen=True, slots=True)
class BrokerEvent:
    """`event` is join, recommend, deal or social; `amount` is in yuan; the time is China's."""

    broker: Broker
    event: str
    customer_mobile: str
    amount: float
    at: datetime


def fixed_width(text: str, width: int) -> bytes:
    """`text` in GB 18030, filled with blanks to `width` bytes, or cut after the last whole character that fits."""
    encoded = b""
    for character in text:
        piece = character.encode("gb18030")
        if len(encoded) + len(piece) > width:
            break
        encoded += piece
    return encoded.ljust(width)


def record(seq: int, event: BrokerEvent) -> bytes:
    """One record of 142 bytes."""
    broker = event.broker
    values = (
        f"{seq:010d}",
        broker.broker_id,
        broker.name,
        broker.mobile,
        broker.company,
        event.event,
        event.customer_mobile,
        f"{event.amount:14.2f}",
        f"{event.at:%Y%m%d%H%M%S}",
    )
    return b"".join(fixed_width(value, width) for value, (_, width) in zip(values, WIDTHS, strict=True))


def write_broker(connection: sqlite3.Connection, world: World) -> dict[str, int]:
    """Make the tables, the brokers and their records; gives the numbers of brokers and broker_events."""
    rng = Random(f"{world.seed}:brokers")
    brokers = _brokers(rng, world)
    events = sorted(_events(rng, world, brokers), key=lambda event: (event.at, event.broker.broker_id, event.event))
    frames = [(seq, _spoil(rng, seq, record(seq, event))) for seq, event in enumerate(events, start=1)]
    connection.executescript(SCHEMA)
    rows = [(broker.broker_id, broker.name, broker.mobile, broker.company) for broker in brokers]
    connection.executemany("INSERT INTO broker VALUES (?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO record VALUES (?, ?)", frames)
    return {"brokers": len(brokers), "broker_events": len(frames)}


def _brokers(rng: Random, world: World) -> list[Broker]:
    chosen = rng.sample([person for person in world.people if person.is_adult], world.sizes.brokers)
    return [
        Broker(f"B{number:06d}", person.name, person.mobile, rng.choice(vocabulary.BROKER_COMPANIES))
        for number, person in enumerate(chosen, start=1)
    ]


def _events(rng: Random, world: World, brokers: list[Broker]) -> Iterator[BrokerEvent]:
    joined = FIRST_DAY - timedelta(days=30)
    for broker in brokers:
        yield BrokerEvent(broker, "join", "", 0, moment(rng, joined, FIRST_DAY))
    left = world.sizes.broker_events - len(brokers)
    deals = {deal.lead.customer_id: deal for deal in world.deals}
    for lead in world.leads:
        if lead.channel == "经纪人推荐":
            for event in _recommendation(rng, rng.choice(brokers), lead, deals.get(lead.customer_id)):
                if left > 0:
                    left -= 1
                    yield event
    while left > 0:
        left -= 1
        yield BrokerEvent(rng.choice(brokers), "social", "", 0, moment(rng, FIRST_DAY))


def _recommendation(rng: Random, broker: Broker, lead: Lead, deal: Deal | None) -> Iterator[BrokerEvent]:
    mobile = _known_mobile(rng, lead.person)
    yield BrokerEvent(broker, "recommend", mobile, 0, lead.created)
    if deal and deal.status == "已签约":
        commission = -deal.amount * 0.01 if rng.random() < 0.02 else deal.amount * 0.01
        yield BrokerEvent(broker, "deal", mobile, commission, min(LAST_MOMENT, deal.signed + timedelta(hours=2)))


def _known_mobile(rng: Random, person: Person) -> str:
    return "00000000000" if rng.random() < 0.03 else person.mobile


def _spoil(rng: Random, seq: int, frame: bytes) -> bytes:
    """Every so often a record that ends too early or has an impossible date; two are always there."""
    chance = rng.random()
    if seq == 5 or chance < 0.004:
        return frame[: rng.randrange(30, 120)]
    if seq == 7 or chance < 0.008:
        return frame[:-14] + b"20240230250000"
    return frame
