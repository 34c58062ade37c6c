"""Messages of a webhook: cut by key, with stable ids, written as CloudEvents, shown as their owner may see them."""

import json
from typing import Any

import msgspec
import pytest

from core.bus import LOST_TYPE, Envelope
from core.errors import InvalidInput
from core.records import ChangeSet
from core.schema import Record
from exchange.change_feed import LANES, Feed, body, messages
from exchange.intake import envelope_for

_ALL = ("upsert", "patch", "delete", "sweep")


def _plain(record: Record) -> Record:
    return record


def _masked(record: Record) -> Record:
    return {"id": record["id"], "phone": "***"}


_FEED = Feed("orders", "crm.orders", ("id",), _plain)


def _envelope(op: Any = "upsert", rows: Any = ((1, "a"), (2, "b")), fields: tuple[str, ...] = ("id", "phone")) -> Envelope:
    return envelope_for(ChangeSet("crm.orders", op, fields, list(rows), 1_700_000_000_000), source="SYNC1")


def test_each_record_is_a_message_of_the_lane_of_its_key() -> None:
    envelope = _envelope(rows=[(n % 50, "x") for n in range(200)])
    found = messages(_FEED, envelope, events=_ALL, batch_records=1)
    assert len(found) == len({each.envelope.id for each in found}) == 200
    lanes: dict[int, set[int]] = {}
    for each in found:
        (record,) = json.loads(body(_FEED, each.envelope))["data"]["records"]
        lanes.setdefault(record["id"], set()).add(each.lane)
    assert all(len(of_key) == 1 for of_key in lanes.values()), "a key has one lane"
    assert len({lane for of_key in lanes.values() for lane in of_key}) > 10, "keys are spread"
    assert all(0 <= each.lane < LANES for each in found)


def test_the_same_envelope_gives_the_same_messages() -> None:
    envelope = _envelope()
    assert messages(_FEED, envelope, events=_ALL, batch_records=1) == messages(_FEED, envelope, events=_ALL, batch_records=1)


def test_batches_hold_what_one_lane_has_in_order() -> None:
    envelope = _envelope(rows=[(7, str(n)) for n in range(10)])
    found = messages(_FEED, envelope, events=_ALL, batch_records=4)
    assert [each.envelope.count for each in found] == [4, 4, 2]
    records = [record["phone"] for each in found for record in json.loads(body(_FEED, each.envelope))["data"]["records"]]
    assert records == [str(n) for n in range(10)]


def test_a_message_that_comes_back_from_the_dead_letters_is_itself() -> None:
    (cut, *_) = messages(_FEED, _envelope(), events=_ALL, batch_records=1)
    assert messages(_FEED, cut.envelope, events=_ALL, batch_records=1) == [cut]


def test_an_event_is_a_cloud_event_with_what_its_owner_may_see() -> None:
    feed = msgspec.structs.replace(_FEED, shown=_masked)
    (cut,) = messages(feed, _envelope(rows=[(1, "13800000000")]), events=_ALL, batch_records=1)
    made = body(feed, cut.envelope)
    assert b"13800000000" not in made
    assert json.loads(made) == {
        "specversion": "1.0",
        "id": cut.envelope.id,
        "source": "/v1/orders",
        "type": "zhiyun.orders.upsert",
        "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json",
        "data": {"service": "orders", "observed": "2023-11-14T22:13:20.000Z", "records": [{"id": 1, "phone": "***"}]},
    }


def test_events_that_are_not_wanted_and_empty_change_sets_are_no_messages() -> None:
    assert messages(_FEED, _envelope(), events=("delete",), batch_records=1) == []
    assert messages(_FEED, _envelope(rows=[]), events=_ALL, batch_records=1) == []


def test_a_sweep_tells_its_moment_and_a_loss_asks_for_a_new_reading() -> None:
    (swept,) = messages(_FEED, _envelope("sweep", [(0.2,)], ("max_share",)), events=_ALL, batch_records=1)
    told = json.loads(body(_FEED, swept.envelope))
    assert (told["type"], told["data"]["not_seen_since"]) == ("zhiyun.orders.sweep", "2023-11-14T22:13:20.000Z")
    lost = Envelope("e1", "lost", "bus", 0, "k", 5, LOST_TYPE, b"")
    (marker,) = messages(_FEED, lost, events=("delete",), batch_records=1)
    assert messages(_FEED, marker.envelope, events=_ALL, batch_records=1) == [marker]
    assert json.loads(body(_FEED, marker.envelope))["type"] == "zhiyun.orders.resync"


def test_what_is_no_change_set_of_the_feed_is_refused() -> None:
    with pytest.raises(InvalidInput, match="lacks the key"):
        messages(_FEED, _envelope(fields=("no", "phone")), events=_ALL, batch_records=1)
    with pytest.raises(InvalidInput, match="not a change set"):
        messages(_FEED, Envelope("e", "t", "s", 0, "k", 1, "text/plain", b""), events=_ALL, batch_records=1)
    with pytest.raises(InvalidInput, match="no lane"):
        messages(_FEED, msgspec.structs.replace(_envelope(), content_type="x;webhook-lane=64"), events=_ALL, batch_records=1)
