"""The sinks at the end of the bus: the mirror, and the word to every node that a dataset has changed."""

import msgspec

from core.bus import Envelope, Transport
from core.clock import epoch_ms
from core.errors import InvalidInput, NotFound, Unavailable
from core.ids import new_id
from core.records import ChangeSet
from core.stores import Mirror
from exchange.intake import CHANGE_SET_TYPE

_DECODER = msgspec.msgpack.Decoder(ChangeSet)
CHANGED_PATTERN = "changed.#"


def change_set(envelope: Envelope) -> ChangeSet:
    """The envelope's records. InvalidInput when it holds something else: it can never be delivered."""
    if envelope.content_type != CHANGE_SET_TYPE:
        raise InvalidInput(f"message {envelope.id} is {envelope.content_type}, not a change set")
    try:
        return _DECODER.decode(envelope.data)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"message {envelope.id} is no change set: {error}") from error


def changed(dataset: str, version: int, *, node: str) -> Envelope:
    """The control message that `dataset` stands at `version` now; caches that are older are stale."""
    return Envelope(
        id=new_id(),
        topic=f"changed.{dataset}",
        source=node,
        time_ms=epoch_ms(),
        key=dataset,
        count=1,
        content_type="application/json",
        data=msgspec.json.encode({"dataset": dataset, "version": version}),
    )


class MirrorSink:
    """Applies change sets to the mirror. Idempotent, so at-least-once delivery leaves each change once."""

    def __init__(self, mirror: Mirror, bus: Transport, *, node: str) -> None:
        self._mirror = mirror
        self._bus = bus
        self._node = node

    async def __call__(self, envelope: Envelope) -> None:
        changes = change_set(envelope)
        try:
            if changes.op == "sweep":
                ((share,),) = changes.rows
                applied = await self._mirror.sweep(changes.dataset, before_ms=changes.observed_ms, max_share=share)
            else:
                applied = await self._mirror.apply(changes)
        except NotFound as error:
            # Another node has declared it and this one has not reloaded yet: to bury its rows now would lose them.
            raise Unavailable(f"{error.detail} on this node yet") from error
        if applied.changed or not changes.rows:
            await self._bus.publish([changed(changes.dataset, applied.version, node=self._node)], channel="control")
