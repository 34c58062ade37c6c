"""Everything the management API and the console work on, handed in by the composition root."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends, Request

from core.adapter import Adapter
from core.bus import Transport
from core.incidents import Incidents
from core.sessions import AppSessions
from core.stores import JobStates, Mirror, Nodes, Quarantine, Reconciliation, Run, Sagas, Usage
from core.webhooks import WebhookStates
from registry.app_sessions import Revoker
from registry.credentials import Credentials
from registry.purges import Purger
from registry.registry import Registry
from registry.users import Users


class JobControl(Protocol):
    """The jobs that this node runs (exchange.jobs.JobRunner)."""

    def live(self) -> Mapping[str, Run]:
        """The runs under way, by job."""
        ...

    def run_now(self, name: str) -> None:
        """Start a run soon. NotFound for a job that this node does not run."""
        ...

    def backfill(self, name: str, fields: Sequence[str]) -> None:
        """Load these fields of its dataset anew. NotFound, InvalidInput for the fields, Conflict while one waits."""
        ...

    def cancel(self, name: str) -> None:
        """End the run under way. NotFound if none runs."""
        ...

    async def pause(self, name: str) -> None:
        """Let no run begin until `resume`, on any node. NotFound for a job that this node does not run; so does `resume`."""
        ...

    async def resume(self, name: str) -> None: ...


class Comparison(Protocol):
    """Datasets at their source against the mirror (exchange.reconcile.Reconciler)."""

    def start(self, name: str) -> None:
        """Begin to compare a dataset. NotFound, or Conflict while another is compared."""
        ...

    def last(self, name: str) -> Reconciliation:
        """How it stands or what it gave. NotFound where there was none."""
        ...


class SourceControl(Protocol):
    """The open connections (server.sources.SourcePool)."""

    async def check(self, name: str) -> None:
        """Connect and do the smallest useful call. Raises a PlatformError that says what is wrong."""
        ...

    async def sample(self, name: str, dataset: str) -> bytes:
        """The beginning of the first file of a dataset. NotFound, or InvalidInput for a source of another kind."""
        ...


class QuarantineReplay(Protocol):
    """Bad rows once more (exchange.replay.Replay)."""

    async def replay(self, quarantine_id: str, raw: bytes | None = None) -> None:
        """Convert and publish the row, or the mended `raw` in its place. InvalidInput where it is still bad."""
        ...


class PartsHealth(Protocol):
    """The parts this node runs on (server.parts.Parts)."""

    async def check(self) -> dict[str, str]:
        """Part → `ok`, or what is wrong with it. Never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the API may read and change. `adapters` serve the JSON Schema of sources' settings only."""

    registry: Registry
    credentials: Credentials
    users: Users
    job_states: JobStates
    quarantine: Quarantine
    incidents: Incidents
    sagas: Sagas
    nodes: Nodes
    app_sessions: AppSessions
    revoker: Revoker
    purger: Purger
    mirror: Mirror
    bus: Transport
    jobs: JobControl
    comparison: Comparison
    sources: SourceControl
    quarantine_replay: QuarantineReplay
    parts: PartsHealth
    gateway_url: str
    version: str
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    usage: Usage | None = None
    webhook_states: WebhookStates | None = None
    metrics_folder: Path | None = None  # of the gateway workers beside this node


def _control(request: Request) -> Control:
    control: Control = request.app.state.control
    return control


Controlled = Annotated[Control, Depends(_control)]
"""The parameter by which an endpoint gets its Control."""
