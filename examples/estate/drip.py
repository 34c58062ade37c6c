"""Life in the estate: small coherent changes, one every few seconds, so that increments have something to fetch."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Protocol

from examples.estate import vocabulary
from examples.estate.generate_broker import Broker, BrokerEvent, record
from examples.estate.generate_marketing import behaviour, to_json
from examples.estate.generate_member import level_of
from examples.estate.generate_sales import follow_up_note, stamp
from examples.estate.store import Statement, Store, StoreError
from examples.estate.tables import BARE, FOLLOW_UP, OWNER
from examples.estate.world import CHINA_AHEAD

LOG = logging.getLogger("estate")
TRIES: Final = 20
"""How many random keys are tried for a change that fits no row at once (say, a deal that can still be signed)."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where each system keeps its rows; the call centre writes files and takes no part."""

    sales: Store
    property: Store
    member: Store
    broker: Store
    marketing: Store


class Change(Protocol):
    """One kind of change. Gives a line for the log (ids only), or None when chance found no row that fits."""

    async def __call__(self) -> str | None: ...


class Drip:
    """Changes in the order that `seed` gives. `broker_changed` is called after a record was added to the feed."""

    def __init__(self, stores: Stores, *, seed: int, broker_changed: Callable[[], None]) -> None:
        self._stores = stores
        self._rng = Random(f"{seed}:drip")
        self._broker_changed = broker_changed
        self._changes: tuple[Change, ...] = (
            self.change_mobile,
            self.change_status,
            self.add_follow_up,
            self.add_follow_up,
            self.sign_deal,
            self.recommend,
            self.visit,
            self.visit,
            self.earn_points,
            self.move_resident,
        )

    async def run(self, every_s: float) -> None:
        """Change something every `every_s` seconds, for ever. A store that fails is logged, and life goes on."""
        while True:
            await asyncio.sleep(every_s)
            try:
                LOG.info("drip: %s", await self.change_something())
            except StoreError as error:
                LOG.warning("drip: nothing changed: %s", error)

    async def change_something(self) -> str:
        """Make one change; gives what changed. StoreError if the database is away."""
        for _ in range(TRIES):
            if done := await self._rng.choice(self._changes)():
                return done
        return await self.add_behaviour(None)

    async def change_mobile(self) -> str | None:
        """A client has a new number; property management hears of it when the client is an owner."""
        customer = await self._customer()
        mobile = f"{self._rng.choice(vocabulary.MOBILE_PREFIXES)}{self._rng.randrange(10**8):08d}"
        if not customer:
            return None
        await self._change_customer(customer["id"], "Mobile", mobile)
        if customer["id_card"]:
            sql = "UPDATE owner SET mobile = ?, updated_at = ? WHERE id_card = ?"
            await self._stores.property.execute([(sql, (mobile, _now(), customer["id_card"]))])
        return f"customer {customer['id']} has a new mobile"

    async def change_status(self) -> str | None:
        customer = await self._customer()
        if not customer or customer["status"] not in vocabulary.LEAD_STATUSES:
            return None
        status = self._rng.choice([status for status in vocabulary.LEAD_STATUSES if status != customer["status"]])
        await self._change_customer(customer["id"], "Status", status)
        return f"customer {customer['id']} is now {status}"

    async def add_follow_up(self) -> str | None:
        customer = await self._customer()
        if not customer:
            return None
        rng, now = self._rng, _now()
        number = 1 + int((await self._one(self._stores.sales, "SELECT MAX(FollowUpID) FROM FollowUp"))[0] or 0)
        note = follow_up_note(rng, rng.choice(vocabulary.PROJECTS)[1])
        method, action = rng.choice(vocabulary.METHODS), rng.choice(vocabulary.NEXT_ACTIONS)
        row = (number, customer["id"], customer["consultant"], method, note, action, now, now)
        touch = ("UPDATE Customer SET UpdatedAt = ? WHERE CustomerID = ?", (now, customer["id"]))
        await self._stores.sales.execute([(FOLLOW_UP.insert(BARE), row), touch])
        return f"follow-up {number} of customer {customer['id']}"

    async def sign_deal(self) -> str | None:
        """A reservation becomes a contract: deal, client, room, owner, points and, for a broker's client, commission."""
        number = int((await self._one(self._stores.sales, "SELECT COUNT(*) FROM Deal"))[0])
        deal_id = f"D{self._rng.randrange(max(1, number)) + 1:07d}"
        sql = "SELECT CustomerID, RoomID, Amount FROM Deal WHERE DealID = ? AND Status = ?"
        found = await self._stores.sales.fetch(sql, (deal_id, "认购"))
        if not found:
            return None
        customer_id, room_id, amount = found[0]
        now, today = _now(), _china_now().date().isoformat()
        await self._stores.sales.execute(
            [
                ("UPDATE Deal SET Status = ?, SignedOn = ?, UpdatedAt = ? WHERE DealID = ?", ("已签约", today, now, deal_id)),
                ("UPDATE Customer SET Status = ?, UpdatedAt = ? WHERE CustomerID = ?", ("已签约", now, customer_id)),
            ]
        )
        customer = await self._customer(customer_id) or {}
        await self._hand_over(room_id, customer, now, today)
        if customer.get("channel") == "经纪人推荐":
            await self._add_record("deal", customer["mobile"], float(amount) * 0.01)
        return f"deal {deal_id} of customer {customer_id} is signed"

    async def recommend(self) -> str | None:
        customer = await self._customer()
        if not customer:
            return None
        event = self._rng.choice(("recommend", "recommend", "social"))
        seq = await self._add_record(event, customer["mobile"] if event == "recommend" else "", 0.0)
        return f"broker record {seq}: {event}"

    async def visit(self) -> str | None:
        """A visitor whose mobile is a client's."""
        customer = await self._customer()
        return await self.add_behaviour(customer["mobile"]) if customer else None

    async def add_behaviour(self, mobile: str | None) -> str:
        """Add a behaviour event of somebody with this mobile, or of nobody known."""
        body = {**behaviour(self._rng, None, _china_now()), "mobile": mobile}
        event_id = 1 + int((await self._one(self._stores.marketing, "SELECT MAX(event_id) FROM event"))[0] or 0)
        await self._stores.marketing.execute([("INSERT INTO event VALUES (?, ?)", (event_id, to_json(body)))])
        return f"behaviour event {event_id}"

    async def earn_points(self) -> str | None:
        count = int((await self._one(self._stores.member, "SELECT COUNT(*) FROM member"))[0])
        member_id = f"M{self._rng.randrange(max(1, count)) + 1:08d}"
        found = await self._stores.member.fetch("SELECT points FROM member WHERE member_id = ?", (member_id,))
        if not found:
            return None
        points = max(0, int(found[0][0])) + self._rng.randrange(1, 40) * 10
        sql = "UPDATE member SET points = ?, level = ?, updated_at = ? WHERE member_id = ?"
        await self._stores.member.execute([(sql, (points, level_of(points), _now(), member_id))])
        return f"member {member_id} has {points} points"

    async def move_resident(self) -> str | None:
        """A tenant moves out."""
        count = int((await self._one(self._stores.property, "SELECT COUNT(*) FROM resident"))[0])
        resident = f"R{self._rng.randrange(max(1, count)) + 1:06d}"
        sql = "SELECT 1 FROM resident WHERE resident_id = ? AND relation = ? AND moved_out = ?"
        if not await self._stores.property.fetch(sql, (resident, "租户", "")):
            return None
        change = "UPDATE resident SET moved_out = ?, updated_at = ? WHERE resident_id = ?"
        await self._stores.property.execute([(change, (_china_now().date().isoformat(), _now(), resident))])
        return f"resident {resident} has moved out"

    async def _customer(self, customer_id: str | None = None) -> dict[str, Any] | None:
        """A customer, a random one by default: ids are given without gaps."""
        if customer_id is None:
            count = int((await self._one(self._stores.sales, "SELECT COUNT(*) FROM Customer"))[0])
            customer_id = f"K{self._rng.randrange(max(1, count)) + 1:07d}"
        names = ("id", "name", "mobile", "id_card", "birthday", "channel", "consultant", "status")
        sql = (
            "SELECT CustomerID, CustomerName, Mobile, IDCard, Birthday, Channel, Consultant, Status "
            "FROM Customer WHERE CustomerID = ?"
        )
        rows = await self._stores.sales.fetch(sql, (customer_id,))
        return dict(zip(names, rows[0], strict=True)) if rows else None

    async def _change_customer(self, customer_id: str, column: str, value: str) -> None:
        sql = f"UPDATE Customer SET {column} = ?, UpdatedAt = ? WHERE CustomerID = ?"  # noqa: S608
        await self._stores.sales.execute([(sql, (value, _now(), customer_id))])

    async def _hand_over(self, room_id: str, customer: dict[str, Any], now: str, today: str) -> None:
        last = (await self._one(self._stores.property, "SELECT MAX(owner_id) FROM owner"))[0] or "O000000"
        owner = (f"O{int(last[1:]) + 1:06d}", customer.get("name"), customer.get("id_card"), customer.get("mobile"), "")
        rest = (customer.get("birthday"), room_id, "独有", "", today, 1, now)
        statements: list[Statement] = [
            ("UPDATE room SET status = ?, updated_at = ? WHERE room_id = ?", ("已售", now, room_id)),
            (OWNER.insert(BARE), (*owner, *rest)),
        ]
        await self._stores.property.execute(statements)

    async def _add_record(self, event: str, mobile: str, amount: float) -> int:
        brokers = await self._stores.broker.fetch("SELECT broker_id, name, mobile, company FROM broker ORDER BY 1", ())
        seq = 1 + int((await self._one(self._stores.broker, "SELECT MAX(seq) FROM record"))[0] or 0)
        frame = record(seq, BrokerEvent(Broker(*self._rng.choice(brokers)), event, mobile, amount, _china_now()))
        await self._stores.broker.execute([("INSERT INTO record VALUES (?, ?)", (seq, frame))])
        self._broker_changed()
        return seq

    async def _one(self, store: Store, sql: str) -> tuple[Any, ...]:
        return (await store.fetch(sql, ()))[0]


def _china_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + CHINA_AHEAD


def _now() -> str:
    return stamp(_china_now())
