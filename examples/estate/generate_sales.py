"""The rows of the sales system (IF0111 customers, IF0112 follow-ups, IF0213 deals), dirt included."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from examples.estate import dirt, vocabulary
from examples.estate.tables import Row
from examples.estate.world import CHINA_AHEAD, LAST_MOMENT, Deal, Lead, World, moment

MONTHS = timedelta(days=180)
"""How long a consultant follows a client up."""
AGENT_PHONES = ("13800001111", "13900002222", "18800003333")
"""Agents who enter their own number for their clients: each stands on many leads."""


def stamp(value: datetime) -> str:
    """China's time `value` as UTC, `2024-05-10 08:30:00.123`: how datetime2(3) and datetime(3) are written."""
    return (value - CHINA_AHEAD).isoformat(sep=" ", timespec="milliseconds")


def customers(world: World) -> Iterator[Row]:
    """Rows of Customer, in the order of CustomerID."""
    rng = Random(f"{world.seed}:customers")
    deals = {deal.lead.customer_id: deal for deal in world.deals}
    for lead in world.leads:
        deal = deals.get(lead.customer_id)
        last = max(deal.signed if deal else lead.created, lead.created)
        person = lead.person
        yield (
            lead.customer_id,
            _name(rng, lead),
            _mobile(rng, lead),
            _id_card(rng, lead, deal),
            person.email if rng.random() < 0.5 else "",
            person.gender if rng.random() < 0.93 else rng.choice(("", "M", "F", "未知")),
            dirt.sometimes(rng, 0.05, dirt.bad_date, person.born.isoformat()),
            lead.channel,
            lead.consultant,
            vocabulary.PROJECTS[lead.project][0],
            deal.status if deal else rng.choice(vocabulary.LEAD_STATUSES),
            _budget(rng),
            lead.created.date().isoformat(),
            stamp(moment(rng, last, min(LAST_MOMENT, last + timedelta(days=40)))),
        )


def _name(rng: Random, lead: Lead) -> str:
    share = 0.7 if lead.is_duplicate else 0.03
    return dirt.sometimes(rng, share, dirt.name_variant, lead.person.name)


def _mobile(rng: Random, lead: Lead) -> str:
    if lead.channel == "经纪人推荐" and rng.random() < 0.1:
        return rng.choice(AGENT_PHONES)
    if lead.is_duplicate and lead.person.second_mobile:
        return lead.person.second_mobile
    return dirt.sometimes(rng, 0.05, dirt.bad_mobile, lead.person.mobile)


def _id_card(rng: Random, lead: Lead, deal: Deal | None) -> str:
    if deal is None and rng.random() < 0.6:
        return ""
    return dirt.sometimes(rng, 0.04, dirt.bad_id_card, lead.person.id_card)


def _budget(rng: Random) -> str | None:
    if rng.random() < 0.15:
        return None
    amount = rng.randrange(80, 900) * 10000
    return f"{-amount if rng.random() < 0.01 else amount}.00"


def follow_ups(world: World) -> Iterator[Row]:
    """Rows of FollowUp, numbered in the order of time."""
    rng = Random(f"{world.seed}:follow-ups")
    leads = rng.choices(world.leads, k=world.sizes.follow_ups)
    visits = [(moment(rng, lead.created, min(LAST_MOMENT, lead.created + MONTHS)), lead) for lead in leads]
    visits.sort(key=lambda visit: (visit[0], visit[1].customer_id))
    for number, (at, lead) in enumerate(visits, start=1):
        consultant = lead.consultant if rng.random() < 0.9 else rng.choice(vocabulary.CONSULTANTS)
        content = follow_up_note(rng, vocabulary.PROJECTS[lead.project][1])
        content = "" if rng.random() < 0.02 else content + ("  " if rng.random() < 0.03 else "")
        method, action = rng.choice(vocabulary.METHODS), rng.choice(vocabulary.NEXT_ACTIONS)
        yield (
            number,
            lead.customer_id,
            consultant,
            method,
            content,
            action,
            stamp(at),
            stamp(at + timedelta(minutes=5)),
        )


def follow_up_note(rng: Random, project: str) -> str:
    """What a consultant might write after a talk about `project`."""
    return rng.choice(vocabulary.FOLLOW_UP_NOTES).format(
        project=project,
        layout=rng.choice(vocabulary.LAYOUTS),
        weekday=rng.choice(vocabulary.WEEKDAYS),
        budget=rng.randrange(12, 90) * 10,
    )


def deals(world: World) -> Iterator[Row]:
    """Rows of Deal, in the order of DealID; a few refunds were booked as negative amounts."""
    rng = Random(f"{world.seed}:deal-rows")
    for number, deal in enumerate(world.deals, start=1):
        negative = rng.random() < (0.3 if deal.status == "已退房" else 0.01)
        amount = f"{-deal.amount if negative else deal.amount}.00"
        changed = moment(rng, deal.signed, min(LAST_MOMENT, deal.signed + timedelta(days=30)))
        customer, room = deal.lead.customer_id, deal.room.room_id
        yield (f"D{number:07d}", customer, room, deal.status, amount, deal.signed.date().isoformat(), stamp(changed))
