"""The contract of purges: cached answers that an operator has forgotten on all nodes, told and numbered as revocations are."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from core.bus import Envelope
from core.clock import epoch_ms
from core.ids import new_id

PURGED_PATTERN = "purged.#"
_TOPIC, _TYPE = "purged.answers", "application/json"


class Purge(Struct, frozen=True):
    """Every kept answer of a route or service whose target (path and query) begins with `prefix`; an empty one: all of them.

    `number` grows in the order of commits; 0 where the store could not be asked.
    """

    id: str
    route: str
    prefix: str
    at_ms: int
    by: str
    number: int = 0


class Purges(Protocol):
    """Purges, durable for a day: longer no process is without both database and bus. Raises Unavailable while the database is
    down."""

    async def add(self, purge: Purge) -> Purge:
        """Keep it and give it with its number."""
        ...

    async def read(self, *, since: int, limit: int = 1000) -> Sequence[Purge]:
        """Those after number `since`, in order. Cheap: every worker asks once a second."""
        ...


def purged(purge: Purge, *, node: str) -> Envelope:
    """The control message by which every node learns of it at once."""
    return Envelope(new_id(), _TOPIC, node, epoch_ms(), purge.route, 1, _TYPE, msgspec.json.encode(purge))


def purge_of(envelope: Envelope) -> Purge:
    """Raises msgspec.MsgspecError for a message of another kind."""
    return msgspec.json.decode(envelope.data, type=Purge)
