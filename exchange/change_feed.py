"""Change sets of the bus as messages of a webhook: cut by record, each with a stable id, written as CloudEvents 1.0. Pure.

A message's records are kept as they came; what the owner may see of them is decided each time it is sent.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core.bus import LOST_TYPE, Envelope
from core.clock import iso
from core.errors import InvalidInput
from core.records import ChangeSet
from core.schema import Record
from exchange.intake import CHANGE_SET_TYPE
from exchange.sinks import change_set

LANES = 64
"""Records are spread over lanes by their key; within a lane messages go out one after the other."""
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_CUT_TYPE = f"{CHANGE_SET_TYPE};webhook-lane="
_CUT_LOST_TYPE = f"{LOST_TYPE};webhook-lane="
_ENCODER = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder()

Shown = Callable[[Record], Record]


class Feed(Struct, frozen=True):
    """A service whose changes a webhook tells of. `shown` gives what its owner may see of a record."""

    service: str
    dataset: str
    key: tuple[str, ...]
    shown: Shown

    def subscription(self, webhook: str) -> str:
        """The name of the webhook's own subscription on the bus."""
        dataset = hashlib.sha256(self.dataset.encode()).hexdigest()[:8]  # a service may get another: a subscription keeps its own
        return f"{prefix(webhook)}{self.service}:{dataset}"


def prefix(webhook: str = "") -> str:
    """How the names of a webhook's subscriptions begin; without a name, of all webhooks."""
    return f"webhook:{webhook}:" if webhook else "webhook:"


class Message(Struct, frozen=True):
    """One POST: its id is the envelope's. `lane` orders it."""

    lane: int
    envelope: Envelope


def messages(feed: Feed, envelope: Envelope, *, events: Sequence[str], batch_records: int) -> list[Message]:
    """What an envelope comes to, at most `batch_records` records of one lane each, in order within a lane.

    The same envelope gives the same ids each time, so that a receiver drops what comes twice. A message that had been buried and
    is redelivered is itself. InvalidInput for what is no change set of this feed.
    """
    kind, _, lane = envelope.content_type.partition(";webhook-lane=")
    if lane:
        if not (lane.isascii() and lane.isdigit() and int(lane) < LANES):
            raise InvalidInput(f"message {envelope.id} has no lane of a webhook")
        return [Message(int(lane), envelope)]
    if kind == LOST_TYPE:
        lane_of_all = _lane((feed.dataset,))
        return [
            Message(lane_of_all, replace(envelope, id=_id(feed, envelope, "lost"), content_type=f"{_CUT_LOST_TYPE}{lane_of_all}"))
        ]
    changes = change_set(envelope)
    if changes.op not in events:
        return []
    if changes.op == "sweep":
        return [_cut(feed, envelope, changes, changes.rows, _lane((feed.dataset,)), 0)]
    return _by_lane(feed, envelope, changes, batch_records)


def _by_lane(feed: Feed, envelope: Envelope, changes: ChangeSet, batch_records: int) -> list[Message]:
    try:
        places = [changes.fields.index(name) for name in feed.key]
    except ValueError:
        raise InvalidInput(f"message {envelope.id} lacks the key of {feed.dataset}") from None
    lanes: dict[int, list[Sequence[Any]]] = {}
    for row in changes.rows:
        lanes.setdefault(_lane(tuple(row[place] for place in places)), []).append(row)
    made = []
    for lane, rows in lanes.items():
        for start in range(0, len(rows), batch_records):
            made.append(_cut(feed, envelope, changes, rows[start : start + batch_records], lane, start))
    return made


def _cut(feed: Feed, envelope: Envelope, changes: ChangeSet, rows: Sequence[Sequence[Any]], lane: int, start: int) -> Message:
    part = replace(changes, rows=list(rows))
    part_id = _id(feed, envelope, f"{lane}-{start}-{len(rows)}")
    content_type = f"{_CUT_TYPE}{lane}"
    return Message(lane, replace(envelope, id=part_id, content_type=content_type, count=len(rows), data=_ENCODER.encode(part)))


def _id(feed: Feed, envelope: Envelope, part: str) -> str:
    return f"msg_{envelope.id}-{feed.service}-{part}"


def _lane(key: tuple[Any, ...]) -> int:
    return hashlib.blake2b(_ENCODER.encode(key), digest_size=1).digest()[0] % LANES


def body(feed: Feed, envelope: Envelope) -> bytes:
    """A message as CloudEvents 1.0 in JSON (JSON event format §3), its records as the owner may see them now."""
    if envelope.content_type.startswith(_CUT_LOST_TYPE):
        op, data = "resync", {"reason": "changes were dropped: this receiver was too slow; read the service anew"}
        data["service"] = feed.service
    else:
        changes = change_set(replace(envelope, content_type=CHANGE_SET_TYPE))
        op, data = changes.op, _data(feed, changes)
    return _JSON.encode(
        {
            "specversion": "1.0",
            "id": envelope.id,
            "source": f"/v1/{feed.service}",
            "type": f"zhiyun.{feed.service}.{op}",
            "time": _moment(envelope.time_ms),
            "datacontenttype": "application/json",
            **({"traceparent": envelope.trace} if envelope.trace else {}),
            "data": data,
        }
    )


def _data(feed: Feed, changes: ChangeSet) -> dict[str, Any]:
    if changes.op == "sweep":
        return {"service": feed.service, "not_seen_since": _moment(changes.observed_ms)}
    records = [feed.shown(dict(zip(changes.fields, row, strict=True))) for row in changes.rows]
    return {"service": feed.service, "observed": _moment(changes.observed_ms), "records": records}


def _moment(epoch_ms: int) -> str:
    return iso(datetime.fromtimestamp(epoch_ms / 1000, UTC))
