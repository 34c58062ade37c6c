"""The marketing system's store: behaviour events, customer preferences and campaigns, as SQLite for the JSON service."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from examples.estate import dirt, vocabulary
from examples.estate.world import FIRST_DAY, Lead, World, moment

SCHEMA: Final = """
CREATE TABLE event (event_id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE preference (customer_id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE campaign (campaign_id TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


def write_marketing(connection: sqlite3.Connection, world: World) -> dict[str, int]:
    """Make the tables and their rows; gives the numbers of behaviour_events, preferences and campaigns."""
    connection.executescript(SCHEMA)
    events = [(number, to_json(body)) for number, body in enumerate(_events(world), start=1)]
    preferences = list(_preferences(world))
    campaigns = [(body["campaign_id"], to_json(body)) for body in _campaigns(world)]
    connection.executemany("INSERT INTO event VALUES (?, ?)", events)
    connection.executemany("INSERT INTO preference VALUES (?, 1, ?)", preferences)
    connection.executemany("INSERT INTO campaign VALUES (?, ?)", campaigns)
    return {"behaviour_events": len(events), "preferences": len(preferences), "campaigns": len(campaigns)}


def to_json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def behaviour(rng: Random, lead: Lead | None, at: datetime) -> dict[str, Any]:
    """One event of a client, or of a visitor whom nobody knows yet (None). `ts` is China's time."""
    source, medium = rng.choice(vocabulary.UTM)
    project = vocabulary.PROJECTS[lead.project if lead else rng.randrange(len(vocabulary.PROJECTS))][0]
    event = rng.choice(vocabulary.BEHAVIOURS)
    gives_mobile = lead is not None and (event in ("form_submit", "coupon_claim") or rng.random() < 0.3)
    return {
        "openid": lead.person.openid if lead and rng.random() < 0.85 else "",
        "device_id": f"dev{lead.person.number:08x}" if lead else f"dev{rng.randrange(16**8):08x}",
        "mobile": dirt.sometimes(rng, 0.06, dirt.bad_mobile, lead.person.mobile) if lead and gives_mobile else None,
        "event": event,
        "utm": {"source": source, "medium": medium, "campaign": f"C{rng.randrange(len(vocabulary.CAMPAIGNS)) + 1:04d}"},
        "page": rng.choice(vocabulary.PAGES).format(project=project),
        "project": project,
        "duration_ms": -1 if rng.random() < 0.01 else rng.randrange(300, 180000),
        "ts": at.isoformat(timespec="milliseconds") + "+08:00",
    }


def _events(world: World) -> Iterator[dict[str, Any]]:
    rng = Random(f"{world.seed}:behaviour")
    moments: list[tuple[datetime, int, Lead | None]] = []
    while len(moments) < world.sizes.behaviours:
        if rng.random() < 0.25:
            moments.append((moment(rng, FIRST_DAY), len(moments), None))
            continue
        lead = rng.choice(world.leads)
        # The path to a first visit: some touches in the weeks before the client stood in the sales office.
        for _ in range(rng.randrange(1, 7)):
            moments.append((moment(rng, lead.created - timedelta(days=45), lead.created), len(moments), lead))
    previous: dict[str, Any] | None = None
    for at, _, visitor in sorted(moments[: world.sizes.behaviours], key=lambda entry: entry[:2]):
        again = previous is not None and rng.random() < 0.01
        body = dict(previous) if previous is not None and again else behaviour(rng, visitor, at)
        previous = body
        yield {**body, "ts": _timestamp(rng, body["ts"], at)}


def _timestamp(rng: Random, ts: str, at: datetime) -> str:
    chance = rng.random()
    if chance < 0.01:
        return str(int((at - datetime(1970, 1, 1, 8)).total_seconds() * 1000))
    if chance < 0.015:
        return rng.choice(("", "2099-01-01T00:00:00.000+08:00", "2024-02-30T10:00:00.000+08:00"))
    return ts


def _preferences(world: World) -> Iterator[tuple[str, str]]:
    rng = Random(f"{world.seed}:preferences")
    for lead in world.leads:
        if rng.random() < 0.6:
            body = {
                "customer_id": lead.customer_id,
                "channels": sorted(rng.sample(("sms", "wechat", "phone", "email"), rng.randrange(1, 4))),
                "interests": sorted(rng.sample(vocabulary.INTERESTS, rng.randrange(0, 4))),
                "do_not_disturb": rng.choice(("21:00-09:00", "12:00-14:00", "")),
                "consent": rng.random() < 0.8,
            }
            yield lead.customer_id, to_json(body)


def _campaigns(world: World) -> Iterator[dict[str, Any]]:
    rng = Random(f"{world.seed}:campaigns")
    for number, name in enumerate(vocabulary.CAMPAIGNS, start=1):
        start = moment(rng, FIRST_DAY).date()
        source, medium = rng.choice(vocabulary.UTM)
        yield {
            "campaign_id": f"C{number:04d}",
            "name": name,
            "channel": f"{source}/{medium}",
            "project": rng.choice(vocabulary.PROJECTS)[0],
            "start_on": start.isoformat(),
            "end_on": (start + timedelta(days=rng.randrange(3, 45))).isoformat(),
            "cost": f"{rng.randrange(2, 80) * 10000}.00",
        }
