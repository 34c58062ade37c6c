"""The member system's store (IF0232): who joined the club, with points and level, as SQLite for the SOAP service."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Final

from examples.estate import dirt
from examples.estate.generate_sales import stamp
from examples.estate.people import Person
from examples.estate.tables import Row
from examples.estate.world import FIRST_DAY, LAST_MOMENT, World, moment

LEVELS: Final = (("普通会员", 0), ("银卡会员", 2000), ("金卡会员", 8000), ("钻石会员", 20000))
SCHEMA: Final = """
CREATE TABLE member (
  member_id TEXT PRIMARY KEY, name TEXT NOT NULL, mobile TEXT NOT NULL, email TEXT NOT NULL, open_id TEXT NOT NULL,
  id_card TEXT NOT NULL, gender TEXT NOT NULL, birthday TEXT NOT NULL, level TEXT NOT NULL, points INTEGER NOT NULL,
  expiring INTEGER NOT NULL, joined_on TEXT NOT NULL, status TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE INDEX member_changed ON member (updated_at, member_id);
"""


def level_of(points: int) -> str:
    """The level that so many points give."""
    return next(name for name, least in reversed(LEVELS) if points >= least or least == 0)


def write_members(connection: sqlite3.Connection, world: World) -> int:
    """Make the tables and their rows; gives the number of members."""
    connection.executescript(SCHEMA)
    rows = list(members(world))
    connection.executemany(f"INSERT INTO member VALUES ({', '.join('?' * 14)})", rows)  # noqa: S608
    return len(rows)


def members(world: World) -> Iterator[Row]:
    """Rows of member, in the order of member_id; the same person is client or owner elsewhere."""
    rng = Random(f"{world.seed}:members")
    for number, person in enumerate(_joining(rng, world), start=1):
        points = max(-50, round(rng.expovariate(1 / 3500)) - 100)
        joined = moment(rng, FIRST_DAY)
        mobile = person.second_mobile if person.second_mobile and rng.random() < 0.3 else person.mobile
        yield (
            f"M{number:08d}",
            dirt.sometimes(rng, 0.04, dirt.name_variant, person.name),
            dirt.sometimes(rng, 0.04, dirt.bad_mobile, mobile),
            person.email,
            person.openid if rng.random() < 0.7 else "",
            person.id_card if rng.random() < 0.3 else "",
            person.gender if rng.random() < 0.9 else "",
            dirt.sometimes(rng, 0.08, dirt.bad_date, person.born.isoformat()),
            level_of(points),
            points,
            max(0, points // 10) if rng.random() < 0.4 else 0,
            joined.date().isoformat(),
            "注销" if rng.random() < 0.03 else "正常",
            stamp(moment(rng, joined, min(LAST_MOMENT, joined + timedelta(days=300)))),
        )


def _joining(rng: Random, world: World) -> list[Person]:
    """Owners first, then clients, then strangers; two in a hundred joined twice."""
    known = {ownership.person.number for ownership in world.ownerships if rng.random() < 0.7}
    known |= {lead.person.number for lead in world.leads if rng.random() < 0.35}
    strangers = [person.number for person in world.people if person.number not in known]
    wanted = world.sizes.members - world.sizes.members // 50
    numbers = sorted(known) + rng.sample(strangers, len(strangers))
    joining = [world.people[number] for number in numbers[:wanted]]
    joining += rng.choices(joining, k=world.sizes.members - len(joining))
    rng.shuffle(joining)
    return joining
