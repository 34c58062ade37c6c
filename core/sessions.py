"""The contract of app sessions: every access token is one, known by its `jti`, listed, and revocable at once on all nodes.

What is revoked is a fact of its own beside the sessions, numbered in the order of commits, so that each node can follow it.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from core.bus import Envelope
from core.clock import epoch_ms
from core.ids import new_id

REVOKED_PATTERN = "revoked.#"
_TOPIC, _TYPE = "revoked.session", "application/json"

Scope = Literal["session", "app", "device"]


class AppSession(Struct, frozen=True):
    """A token that was issued. Its `id` (the token's `jti`) sorts by time. `device`, `actor` (a proxy) and `revoked_ms` may be
    missing: empty, or 0."""

    id: str
    app: str
    key: str
    device: str
    actor: str
    address: str
    issued_ms: int
    expires_ms: int
    revoked_ms: int = 0


class Revocation(Struct, frozen=True):
    """What is revoked: one session, or all of an app or a device that were issued up to the id `last`.

    It has no meaning after `until_ms`, when the last of those tokens has expired. `number` grows in the order of commits; 0 where
    the store could not be asked.
    """

    scope: Scope
    name: str
    last: str
    until_ms: int
    at_ms: int
    by: str
    number: int = 0


class AppSessions(Protocol):
    """Sessions and revocations, durable. Raises Unavailable while the database is down."""

    async def add(self, sessions: Sequence[AppSession]) -> None:
        """Keep them; one that is known is left as it is. What has expired may be cleared away."""
        ...

    async def list(self, *, app: str = "", device: str = "", after: str = "", limit: int = 100) -> Sequence[AppSession]:
        """Those that have not expired, newest first, of this app and this device (empty: of any), older than the id `after`."""
        ...

    async def get(self, session_id: str) -> AppSession | None:
        """None also for one that has expired."""
        ...

    async def revoke(self, revocation: Revocation) -> Revocation:
        """Keep it and give it with its number; where the same session was revoked before, that revocation. Widened where a known
        session of the app or device is newer, or lives longer, than it says: the clocks of nodes differ."""
        ...

    async def revocations(self, *, since: int, limit: int = 1000) -> Sequence[Revocation]:
        """Those after number `since` that still have a meaning, in order. Cheap: every worker asks twice a second."""
        ...


def revoked(revocation: Revocation, *, node: str) -> Envelope:
    """The control message by which every node learns of it at once."""
    data = msgspec.json.encode(revocation)
    return Envelope(new_id(), _TOPIC, node, epoch_ms(), revocation.name, 1, _TYPE, data)


def revocation_of(envelope: Envelope) -> Revocation:
    """Raises msgspec.MsgspecError for a message of another kind."""
    return msgspec.json.decode(envelope.data, type=Revocation)
