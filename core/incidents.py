"""What went wrong and waits for somebody: raised once, told, acknowledged, resolved (requirement 2.12)."""

from typing import Literal, Protocol

from msgspec import Struct

IncidentState = Literal["open", "acknowledged", "resolved"]
IncidentKind = Literal["job_failed", "schema_drift", "rows_quarantined", "dead_letters", "transaction_stuck"]


class Incident(Struct):
    """One matter. While it is not resolved, the same thing happening again is counted, not raised anew. Moments are epoch ms,
    0: not yet.

    `contact` is to be told of it; `told_ms`, `escalated_ms` and `closed_ms` say when it was, when whom it escalates to was, and
    when both were told of the end. `tries` counts the failures to tell since the last success.
    """

    id: str
    kind: IncidentKind
    subject: str  # the job, the dataset, or the transaction
    detail: str
    contact: str
    raised_ms: int
    state: IncidentState = "open"
    count: int = 1
    last_ms: int = 0
    by: str = ""  # who acknowledged or resolved it; `platform` where it mended itself
    changed_ms: int = 0
    told_ms: int = 0
    escalated_ms: int = 0
    closed_ms: int = 0
    tries: int = 0
    next_try_ms: int = 0


class Incidents(Protocol):
    """Kept in the registry's database."""

    async def raised(self, kind: IncidentKind, subject: str, detail: str, *, contact: str) -> Incident:
        """A new incident, or the one of the same kind and subject that is not resolved, with the newest detail."""
        ...

    async def resolved(self, kind: IncidentKind, subject: str) -> Incident | None:
        """It has mended itself; None where there was none."""
        ...

    async def settle(self, incident_id: str, state: Literal["acknowledged", "resolved"], *, by: str) -> Incident:
        """A person's decision. Raises NotFound, and Conflict for one that is resolved already."""
        ...

    async def listed(self, *, state: IncidentState | None = None, limit: int = 100) -> list[Incident]:
        """Newest first; without `state` those that are not resolved."""
        ...

    async def unfinished(self, *, limit: int = 100) -> list[Incident]:
        """Of which somebody may still have to be told, oldest first."""
        ...

    async def note(self, incident: Incident) -> None:
        """Store who has been told, and nothing else of it."""
        ...
