"""What is true in the sample estate before any system writes it down: who asked for, bought, owns and lives in what."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from examples.estate import vocabulary
from examples.estate.people import Person, make_people

FIRST_DAY: Final = datetime(2021, 1, 1)
LAST_MOMENT: Final = datetime(2024, 5, 10, 23, 59, 59)
CHINA_AHEAD: Final = timedelta(hours=8)
"""The world keeps China's time, as its people do; most systems store UTC."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each there are. `scaled` multiplies the default estate, keeping at least a handful of everything."""

    customers: int = 2000
    follow_ups: int = 5000
    deals: int = 600
    buildings: int = 12
    rooms: int = 1200
    owners: int = 900
    residents: int = 1100
    members: int = 1500
    brokers: int = 120
    broker_events: int = 800
    tickets: int = 1500
    daily_tickets: int = 30
    behaviours: int = 4000

    @classmethod
    def scaled(cls, scale: float) -> "Sizes":
        counts = {name: max(8, round(getattr(cls(), name) * scale)) for name in cls.__dataclass_fields__}
        return cls(**counts)


@dataclass(frozen=True, slots=True)
class Room:
    """`room_id` reads project-building-floor-door, as on the signs; `price` is the list price in yuan."""

    room_id: str
    building_id: str
    project: int
    floor: int
    door: str
    layout: str
    area: float
    price: int


@dataclass(frozen=True, slots=True)
class Lead:
    """A customer record of the sales system; a person may have two, made by two consultants."""

    customer_id: str
    person: Person
    channel: str
    consultant: str
    project: int
    created: datetime
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Deal:
    lead: Lead
    room: Room
    status: str
    amount: int
    signed: datetime


@dataclass(frozen=True, slots=True)
class Ownership:
    """`kind` is 独有 (sole), 共有 (joint) or 二手 (second-hand)."""

    person: Person
    room: Room
    kind: str
    since: datetime


@dataclass(frozen=True, slots=True)
class World:
    seed: int
    sizes: Sizes
    people: list[Person]
    rooms: list[Room]
    leads: list[Lead]
    deals: list[Deal]
    ownerships: list[Ownership]


def moment(rng: Random, first: datetime, last: datetime = LAST_MOMENT) -> datetime:
    """A moment in office hours between both ends, to the millisecond."""
    day = first + timedelta(days=rng.randrange(max(1, (last - first).days + 1)))
    hours = timedelta(hours=rng.randrange(9, 21), minutes=rng.randrange(60), seconds=rng.randrange(60))
    exact = day.replace(hour=0, minute=0, second=0, microsecond=0) + hours
    return min(max(first, exact), last).replace(microsecond=rng.randrange(1000) * 1000)


def make_world(seed: int, sizes: Sizes) -> World:
    """The whole estate for `seed`; the same seed and sizes give the same world on every machine."""
    people = make_people(seed, max(40, round(sizes.customers * 1.5), sizes.owners * 2, round(sizes.members * 1.2)))
    rooms = _rooms(Random(f"{seed}:rooms"), sizes)
    leads = _leads(Random(f"{seed}:leads"), sizes, people)
    deals = _deals(Random(f"{seed}:deals"), sizes, leads, rooms)
    ownerships = _ownerships(Random(f"{seed}:owners"), sizes, people, rooms, deals)
    return World(seed, sizes, people, rooms, leads, deals, ownerships)


def building_number(building: int) -> tuple[int, int]:
    """The project's index and the building's number in it: buildings are dealt to the projects in turn."""
    return building % len(vocabulary.PROJECTS), building // len(vocabulary.PROJECTS) + 1


def _rooms(rng: Random, sizes: Sizes) -> list[Room]:
    rooms = []
    for index in range(sizes.rooms):
        project, number = building_number(index % sizes.buildings)
        floor, door = index // sizes.buildings // 4 + 1, index // sizes.buildings % 4 + 1
        code, price = vocabulary.PROJECTS[project][0], vocabulary.PROJECTS[project][4]
        area = rng.choice((89.5, 98.2, 108.66, 125.0, 139.8, 168.33))
        rooms.append(
            Room(
                room_id=f"{code}-{number:02d}-{floor:02d}{door:02d}",
                building_id=f"{code}-{number:02d}",
                project=project,
                floor=floor,
                door=f"{floor}{door:02d}",
                layout=rng.choice(vocabulary.LAYOUTS),
                area=area,
                price=round(area * price * rng.uniform(0.92, 1.1)),
            )
        )
    return rooms


def _leads(rng: Random, sizes: Sizes, people: list[Person]) -> list[Lead]:
    doubles = sizes.customers * 6 // 100
    leads: list[Lead] = []
    for person in rng.sample([person for person in people if person.is_adult], sizes.customers - doubles):
        near = [index for index, project in enumerate(vocabulary.PROJECTS) if project[2] == person.city]
        lead = Lead(
            customer_id="",
            person=person,
            channel=rng.choice(vocabulary.CHANNELS),
            consultant=rng.choice(vocabulary.CONSULTANTS),
            project=rng.choice(near),
            created=moment(rng, FIRST_DAY),
            is_duplicate=False,
        )
        leads.append(lead)
    for lead in rng.sample(leads, doubles):
        later = moment(rng, lead.created + timedelta(days=1)) if lead.created.date() < LAST_MOMENT.date() else LAST_MOMENT
        consultant, channel = rng.choice(vocabulary.CONSULTANTS), rng.choice(vocabulary.CHANNELS)
        leads.append(replace(lead, created=later, consultant=consultant, channel=channel, is_duplicate=True))
    leads.sort(key=lambda lead: (lead.created, lead.person.number))
    return [replace(lead, customer_id=f"K{number:07d}") for number, lead in enumerate(leads, start=1)]


def _deals(rng: Random, sizes: Sizes, leads: list[Lead], rooms: list[Room]) -> list[Deal]:
    buyers = [lead for lead in leads if not lead.is_duplicate]
    chosen = rng.sample(buyers, min(sizes.deals, len(buyers), len(rooms)))
    free: dict[int, list[Room]] = {index: [] for index in range(len(vocabulary.PROJECTS))}
    for room in rng.sample(rooms, len(rooms)):
        free[room.project].append(room)
    deals = []
    for lead in sorted(chosen, key=lambda lead: lead.customer_id):
        project = lead.project if free[lead.project] else max(free, key=lambda index: len(free[index]))
        room = free[project].pop()
        amount = round(room.price * rng.uniform(0.93, 1.0))
        status = rng.choices(("已签约", "认购", "已退房"), (80, 14, 6))[0]
        signed = moment(rng, lead.created, min(LAST_MOMENT, lead.created + timedelta(days=240)))
        deals.append(Deal(lead, room, status, amount, signed))
    return deals


def _ownerships(rng: Random, sizes: Sizes, people: list[Person], rooms: list[Room], deals: list[Deal]) -> list[Ownership]:
    ownerships: list[Ownership] = []
    for deal in deals:
        if deal.status == "已签约":
            spouse = _spouse(people, deal.lead.person) if rng.random() < 0.2 else None
            ownerships.append(Ownership(deal.lead.person, deal.room, "共有" if spouse else "独有", deal.signed))
            if spouse:
                ownerships.append(Ownership(spouse, deal.room, "共有", deal.signed))
    taken = {deal.room.room_id for deal in deals}
    others = rng.sample([room for room in rooms if room.room_id not in taken], len(rooms) - len(taken))
    owning = {ownership.person.number for ownership in ownerships}
    # The first phases were sold before the sales system existed: their owners are known to property management only.
    early = [person for person in people if person.is_adult and person.number not in owning]
    rng.shuffle(early)
    missing = max(0, sizes.owners - len(ownerships))
    for person, room in list(zip(early, others, strict=False))[:missing]:
        kind = "二手" if rng.random() < 0.15 else "独有"
        ownerships.append(Ownership(person, room, kind, moment(rng, FIRST_DAY - timedelta(days=900), FIRST_DAY)))
    return ownerships[: sizes.owners]


def _spouse(people: list[Person], person: Person) -> Person | None:
    partner = person.number + 1
    if partner < len(people) and people[partner].household == person.household:
        return people[partner]
    return None
