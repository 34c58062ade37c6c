"""The rows of the property-management system (buildings and rooms IF0221, owners and residents IF0231), dirt included."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from random import Random

from examples.estate import dirt, vocabulary
from examples.estate.generate_sales import stamp
from examples.estate.people import Person
from examples.estate.tables import Row
from examples.estate.world import FIRST_DAY, LAST_MOMENT, Ownership, World, building_number, moment


def buildings(world: World) -> Iterator[Row]:
    """Rows of building, in the order of the buildings' index."""
    rng = Random(f"{world.seed}:building-rows")
    floors = {room.building_id: 0 for room in world.rooms}
    for room in world.rooms:
        floors[room.building_id] = max(floors[room.building_id], room.floor)
    for index in range(world.sizes.buildings):
        project, number = building_number(index)
        code, name, city, address, _ = vocabulary.PROJECTS[project]
        building = f"{code}-{number:02d}"
        delivered = (FIRST_DAY + timedelta(days=rng.randrange(900))).date().isoformat()
        changed = stamp(moment(rng, FIRST_DAY))
        yield (building, code, name, city, address, f"{number}幢", floors.get(building, 0), delivered, changed)


def rooms(world: World) -> Iterator[Row]:
    """Rows of room. Rooms not handed over yet have NULL or, from an old import, the zero date of MySQL."""
    rng = Random(f"{world.seed}:room-rows")
    owned = {ownership.room.room_id: ownership for ownership in world.ownerships}
    reserved = {deal.room.room_id for deal in world.deals if deal.status == "认购"}
    for room in world.rooms:
        ownership = owned.get(room.room_id)
        status = "已售" if ownership else "认购" if room.room_id in reserved else rng.choice(("待售", "待售", "预留"))
        handover: str | None = "0000-00-00" if rng.random() < 0.02 else None
        if ownership and handover is None:
            handover = (ownership.since + timedelta(days=rng.randrange(30, 400))).date().isoformat()
        area = -room.area if rng.random() < 0.002 else room.area
        changed = stamp(moment(rng, max(FIRST_DAY, ownership.since) if ownership else FIRST_DAY))
        yield (
            room.room_id,
            room.building_id,
            room.floor,
            room.door,
            room.layout if rng.random() < 0.97 else "",
            f"{area:.2f}",
            f"{room.price}.00",
            status,
            handover,
            changed,
        )


def owners(world: World) -> Iterator[Row]:
    """Rows of owner, one for each person and room."""
    rng = Random(f"{world.seed}:owner-rows")
    for number, ownership in enumerate(world.ownerships, start=1):
        person = ownership.person
        yield (
            f"O{number:06d}",
            dirt.sometimes(rng, 0.04, dirt.name_variant, person.name),
            dirt.sometimes(rng, 0.03, dirt.bad_id_card, person.id_card),
            dirt.sometimes(rng, 0.04, dirt.bad_mobile, person.mobile),
            person.second_mobile,
            dirt.sometimes(rng, 0.06, dirt.bad_date, person.born.isoformat()),
            ownership.room.room_id,
            ownership.kind,
            person.address,
            ownership.since.date().isoformat(),
            0 if rng.random() < 0.03 else 1,
            stamp(moment(rng, max(FIRST_DAY, ownership.since))),
        )


def residents(world: World) -> Iterator[Row]:
    """Rows of resident: owners who live there themselves, their family, and tenants."""
    rng = Random(f"{world.seed}:resident-rows")
    living = islice(_living(rng, world), world.sizes.residents)
    for number, (person, relation, ownership, owner_id) in enumerate(living, start=1):
        moved_in = moment(rng, ownership.since)
        left = relation == "租户" and rng.random() < 0.2
        moved_out = (moved_in + timedelta(days=rng.randrange(30, 700))).date().isoformat() if left else ""
        yield (
            f"R{number:06d}",
            dirt.sometimes(rng, 0.04, dirt.name_variant, person.name),
            dirt.sometimes(rng, 0.06, dirt.bad_mobile, person.mobile),
            "" if rng.random() < 0.3 else dirt.sometimes(rng, 0.03, dirt.bad_id_card, person.id_card),
            ownership.room.room_id,
            relation,
            owner_id,
            dirt.sometimes(rng, 0.03, dirt.bad_date, moved_in.date().isoformat()),
            moved_out,
            stamp(min(LAST_MOMENT, moved_in + timedelta(minutes=rng.randrange(1, 10**5)))),
        )


def _living(rng: Random, world: World) -> Iterator[tuple[Person, str, Ownership, str]]:
    """Who lives where, endlessly longer than needed: tenants change until the caller has enough."""
    households: dict[int, list[Person]] = {}
    for person in world.people:
        households.setdefault(person.household, []).append(person)
    let = []
    for number, ownership in enumerate(world.ownerships, start=1):
        owner_id = f"O{number:06d}"
        if rng.random() < 0.45:
            let.append((ownership, owner_id))
            if rng.random() < 0.5:
                yield rng.choice(world.people), "租户", ownership, owner_id
            continue
        yield ownership.person, "业主", ownership, owner_id
        for relative in households[ownership.person.household]:
            if relative.number != ownership.person.number and rng.random() < 0.6:
                yield relative, "亲属", ownership, owner_id
    while let:
        for ownership, owner_id in let:
            yield rng.choice(world.people), "租户", ownership, owner_id
