"""The contracts of what is kept of webhooks: messages that wait for another attempt, and how each webhook stands."""

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from core.bus import Envelope


class Waiting(Struct, frozen=True):
    """A message that was not taken, or that one before it in its lane keeps waiting. Moments are epoch ms.

    `envelope` holds the message's records as they came, unmasked; its id is the webhook-id.
    """

    webhook: str
    service: str
    lane: int
    envelope: Envelope
    since_ms: int  # when it came to wait: its span begins here
    due_ms: int
    attempts: int = 0
    cause: str = ""


class WebhookRetries(Protocol):
    """Durable, so that a killed process forgets no message. Within a lane messages keep the order they were added in."""

    async def add(self, waiting: Sequence[Waiting]) -> None:
        """Behind what waits. One whose webhook and envelope id wait already stays as it is, in its place."""
        ...

    async def heads(self, webhook: str) -> list[Waiting]:
        """The first of each lane."""
        ...

    async def note(self, waiting: Waiting) -> None:
        """It failed again: `attempts`, `due_ms` and `cause`."""
        ...

    async def remove(self, webhook: str, envelope_id: str) -> None: ...

    async def count(self, webhook: str) -> int: ...

    async def forget_others(self, webhooks: Collection[str]) -> None:
        """Drop what waits for webhooks that are not declared any more."""
        ...


class WebhookState(Struct):
    """How a webhook stands; its counters go on over restarts. `gone` (the receiver answered 410) ends with another `target`."""

    name: str
    target: str = ""  # a digest of the URL
    state: Literal["active", "gone"] = "active"
    delivered: int = 0  # messages that were taken
    failed: int = 0  # attempts that were not
    dead: int = 0  # messages that were given up
    waiting: int = 0
    lag_s: float = 0.0  # age of the oldest message that waits
    cause: str = ""  # of the last failure
    changed_ms: int = 0


class WebhookStates(Protocol):
    async def get(self, name: str) -> WebhookState | None: ...

    async def keep(self, state: WebhookState) -> None: ...

    async def all(self) -> list[WebhookState]:
        """By name."""
        ...

    async def forget_others(self, webhooks: Collection[str]) -> None: ...
