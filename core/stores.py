"""The contracts of what the platform keeps: mirror, resources, job state, quarantine, journal, node reports."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from core.records import BadRow, ChangeSet, Cursor
from core.schema import Dataset, Record, SourceColumn, Value


class MirrorRow(Struct, frozen=True):
    """A mirrored record: `version` grows with every change of the whole mirror; `observed_ms` tells how old it is."""

    record: Record
    version: int
    observed_ms: int
    deleted: bool = False


class Applied(Struct, frozen=True):
    """What a change set did: rows really changed and the mirror's version after it."""

    changed: int
    version: int


class Mirror(Protocol):
    """The database tier: one table per dataset, named `<source>.<dataset>`, kept equal to the source (requirement 0.41)."""

    async def prepare(self, name: str, dataset: Dataset) -> None:
        """Make the table, or add columns and indexes that are new. Never drops a column."""
        ...

    async def apply(self, changes: ChangeSet) -> Applied:
        """Idempotent, and an older `observed_ms` never overwrites a newer one. NotFound for a dataset not prepared."""
        ...

    async def sweep(self, name: str, *, before_ms: int, max_share: float) -> Applied:
        """Delete the rows that were last seen before that moment. Conflict, with nothing deleted, where these are more than that
        share of all. Idempotent."""
        ...

    async def get(self, name: str, key: Sequence[Value]) -> MirrorRow | None: ...

    async def query(
        self, name: str, filters: Mapping[str, Value], *, limit: int, after: Sequence[Value] | None = None
    ) -> list[MirrorRow]:
        """Rows that equal all filters, in key order, after the key given."""
        ...

    async def changes(self, name: str, *, since: int, limit: int) -> list[MirrorRow]:
        """The latest state of each row changed after version `since`, in version order, deletions included."""
        ...

    async def count(self, name: str) -> int:
        """Live rows."""
        ...

    async def version(self, name: str) -> int:
        """The version after the last change of this dataset: a generation that caches key on. Cheap."""
        ...


class Resource(Struct, frozen=True):
    """A declared thing (app, source, service …) as it is kept: `body` holds secrets sealed."""

    kind: str
    name: str
    body: dict[str, Any]
    version: int  # of this resource; If-Match compares it
    changed_ms: int


class AuditEntry(Struct, frozen=True):
    """One change of one resource: who, when, before and after (sealed). Never rewritten."""

    revision: int  # of the whole registry; the snapshot's version
    at_ms: int
    actor: str
    action: Literal["create", "update", "delete"]
    kind: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Edit(Struct, frozen=True):
    """One wished change: `body` None deletes. `expected` is the version the caller saw; None means any."""

    kind: str
    name: str
    body: dict[str, Any] | None
    expected: int | None = None


class Delta(Struct, frozen=True):
    """What has changed between two revisions: `changed` as they are now, `deleted` by kind and name."""

    revision: int
    changed: list[Resource]
    deleted: list[tuple[str, str]]


class Resources(Protocol):
    """The registry's store: resources with versions, and their audit."""

    async def revision(self) -> int:
        """Grows with every change of anything. Cheap: nodes ask it several times a second."""
        ...

    async def all(self) -> tuple[int, list[Resource]]:
        """One consistent picture: the revision and every resource of it."""
        ...

    async def since(self, revision: int) -> Delta | None:
        """What has changed after that revision, from one moment. None where it can't be told: too much, or another history; then
        `all` is asked."""
        ...

    async def get(self, kind: str, name: str) -> Resource | None: ...

    async def commit(self, edits: Sequence[Edit], *, actor: str) -> int:
        """Apply all edits or none, audit each, and return the new revision. Conflict where `expected` does not match."""
        ...

    async def audit(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        ...


RunState = Literal["running", "succeeded", "partial", "failed", "cancelled", "paused"]


INTERRUPTED = "the process that ran it ended"
"""The reason of a run that neither failed nor was cancelled: it goes on as soon as a node is up."""


class Run(Struct):
    """One run of a job: its line in the sync log (requirement 2.22)."""

    batch_id: str  # SYNC20240510001
    job: str
    state: RunState
    started_ms: int
    ended_ms: int | None = None
    rows: int = 0
    bad_rows: int = 0
    expected: int | None = None
    attempt: int = 1
    reason: str = ""
    backfill: tuple[str, ...] = ()  # the fields that it loaded anew, beside the job's own runs


class SchemaEvent(Struct, frozen=True):
    """That a source's columns were found changed."""

    at_ms: int
    text: str


class SchemaReport(Struct, frozen=True):
    """How the columns of a job's source compare with what its dataset declares. `first` are the columns as they were first seen
    under this declaration, whose `fingerprint` is kept; `events` are the newest changes found, the last one last."""

    job: str
    dataset: str
    at_ms: int
    fingerprint: str
    first: tuple[SourceColumn, ...]
    columns: tuple[SourceColumn, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    evolved: tuple[str, ...] = ()  # the fields that were added to the dataset for it
    events: tuple[SchemaEvent, ...] = ()


class Reconciliation(Struct, frozen=True):
    """What a comparison of a dataset at its source with the mirror gave. `missing` are rows that the mirror lacks, `vanished` those
    that the source lacks; a checksum is the sum of the rows' digests, whatever their order."""

    dataset: str
    state: Literal["running", "equal", "differs", "failed"]
    at_ms: int
    source_rows: int = 0
    mirror_rows: int = 0
    source_checksum: str = ""
    mirror_checksum: str = ""
    bad_rows: int = 0  # of the source, that can't be converted
    missing: int = 0
    vanished: int = 0
    different: int = 0
    examples: list[str] = []
    detail: str = ""


class JobStates(Protocol):
    """Checkpoints, leases and the sync log of collection jobs."""

    async def checkpoint(self, job: str) -> Cursor | None: ...

    async def begin(self, job: str, *, day: str) -> Run:
        """A new run with the next batch id of that day (`YYYYMMDD`). A run of this job still `running` becomes `failed`."""
        ...

    async def progress(self, run: Run, cursor: Cursor | None) -> None:
        """Store the run's counts and, with them in one transaction, the checkpoint (None: unchanged). Raises Conflict, and stores
        nothing, for a checkpoint of a run that is not the job's newest: another node has taken the job over meanwhile."""
        ...

    async def runs(self, *, job: str | None = None, limit: int = 50) -> list[Run]:
        """Newest first."""
        ...

    async def lease(self, job: str, *, owner: str, ttl_s: float) -> bool:
        """Take or keep the right to run this job; False while another owner holds it."""
        ...

    async def reset(self, job: str) -> None:
        """Forget the checkpoint: the next run loads everything."""
        ...

    async def schema(self, job: str) -> SchemaReport | None:
        """The last comparison with the source's columns."""
        ...

    async def keep_schema(self, report: SchemaReport) -> None: ...

    async def pause(self, job: str) -> None:
        """Let no run of this job begin, on any node, until `resume`. Idempotent, as `resume` is."""
        ...

    async def resume(self, job: str) -> None: ...

    async def paused(self) -> frozenset[str]:
        """The names of the jobs that are paused."""
        ...


class Quarantined(Struct, frozen=True):
    """A bad row kept until a person decides."""

    id: str
    job: str
    dataset: str
    batch_id: str
    at_ms: int
    reason: str
    place: str
    raw: bytes
    columns: tuple[str, ...]
    state: Literal["waiting", "replayed", "discarded"]


class Quarantine(Protocol):
    """Bad rows with their reason and raw bytes; nothing is ever dropped."""

    async def add(self, job: str, dataset: str, batch_id: str, bad: Sequence[BadRow]) -> None:
        """Keep the rows. The same row of the same dataset, place and reason that still waits is kept once."""
        ...

    async def rows(self, *, dataset: str | None = None, state: str = "waiting", limit: int = 100) -> list[Quarantined]: ...

    async def get(self, quarantine_id: str) -> Quarantined | None: ...

    async def settle(self, quarantine_id: str, state: Literal["replayed", "discarded"]) -> None:
        """NotFound if there is none."""
        ...

    async def count(self) -> dict[str, int]:
        """Waiting rows per dataset."""
        ...


JournalStep = Literal["accepted", "applied", "done", "refused"]


class JournalEntry(Struct, frozen=True):
    """A write of kind b on its way: accepted (durable) → applied (at the source) → done (on the bus), or refused."""

    id: str
    service: str
    app: str
    idempotency_key: str
    fingerprint: str  # of method, path and body: a reused key with another body is a Conflict
    op: Literal["upsert", "delete"]
    key: dict[str, Value]
    changes: Record
    step: JournalStep
    at_ms: int
    answer: bytes = b""


class Journal(Protocol):
    """Kind b's memory: what was promised before it was applied (DESIGN §4)."""

    async def accept(self, entry: JournalEntry) -> JournalEntry:
        """Store it durably; where the app has used this idempotency key before, give the entry of then instead."""
        ...

    async def advance(self, entry_id: str, step: JournalStep, *, answer: bytes = b"") -> None: ...

    async def find(self, app: str, idempotency_key: str) -> JournalEntry | None: ...

    async def withdraw(self, entry_id: str) -> None:
        """Forget an entry of which nothing was sent: its idempotency key is free again."""
        ...

    async def open(self, *, older_than_ms: int, limit: int = 100) -> list[JournalEntry]:
        """Entries not done nor refused that were accepted before that moment: a crash left them."""
        ...

    async def trim(self, *, older_than_ms: int) -> int:
        """Forget settled entries accepted before that moment; how many. Their idempotency keys are free again."""
        ...


SagaState = Literal["open", "undoing", "done", "refused", "stuck"]
StepState = Literal["waiting", "applying", "applied", "undone"]


class SagaStep(Struct):
    """One write of a transaction. `before` and `after` are the record at the source around it; None: there was none, or it is not
    known yet, as `state` tells."""

    service: str
    op: Literal["upsert", "delete"]
    key: dict[str, Value]
    changes: Record
    state: StepState = "waiting"
    before: Record | None = None
    after: Record | None = None


class Saga(Struct):
    """Writes to several sources that are all applied, or all that were are taken back (DESIGN §4, kind b).

    `open` → `done`; or `open` → `undoing` → `refused`. `stuck`: a record was changed by another before it could be taken back, so
    that a person decides.
    """

    id: str
    app: str
    idempotency_key: str
    fingerprint: str
    steps: list[SagaStep]
    at_ms: int
    state: SagaState = "open"
    failed: int | None = None  # the step that was refused
    code: str = ""
    reason: str = ""


class Sagas(Protocol):
    """The transactions under way and of the last days. Each change is durable when the method returns."""

    async def accept(self, saga: Saga, *, owner: str) -> Saga:
        """Store it, held by `owner`; where the app has used this idempotency key before, give the saga of then instead."""
        ...

    async def save(self, saga: Saga, *, owner: str) -> None:
        """Store how it stands. Conflict, with nothing stored, where another owner has taken it over."""
        ...

    async def claim(self, saga_id: str, *, owner: str) -> Saga | None:
        """Take over one that is under way and whose owner has not saved it for a while; None where that is not so."""
        ...

    async def get(self, saga_id: str) -> Saga | None: ...

    async def forsaken(self, *, limit: int = 100) -> list[str]:
        """Those that may be claimed, oldest first."""
        ...

    async def listed(self, *, state: SagaState | None = None, limit: int = 100) -> list[Saga]:
        """Newest first."""
        ...

    async def decide(self, saga_id: str, state: Literal["undoing", "refused"]) -> Saga:
        """A person's decision about one that is stuck: try once more, or leave it as it is. NotFound; Conflict for another."""
        ...

    async def trim(self, *, older_than_ms: int) -> int:
        """Forget those that ended and were accepted before that moment; how many."""
        ...


class NodeReport(Struct):
    """What a process of the platform says about itself every second."""

    node: str
    role: Literal["gateway", "back-office", "deliveries"]
    pid: int
    started_ms: int
    seen_ms: int
    revision: int  # of the configuration it runs
    requests: int = 0  # since start
    errors: int = 0  # answers of 500 and above since start
    requests_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    parts: dict[str, str] = {}  # part → "ok" or what is wrong


class Nodes(Protocol):
    """Which processes are up. A report older than 5 s means the process is gone or stuck."""

    async def report(self, report: NodeReport) -> None: ...

    async def all(self) -> list[NodeReport]: ...

    async def forget(self, node: str) -> None: ...


class UsageRow(Struct, frozen=True):
    """What one app did on one route or service in one hour. `hour_ms` is the hour's start, since 1970, UTC. `limited` are requests
    that a limit refused, `errors` answers of 500 and above; both are among `requests`."""

    app: str
    route: str
    hour_ms: int
    requests: int = 0
    errors: int = 0
    limited: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Usage(Protocol):
    """Counters of each app, route and hour, added to by every worker."""

    async def add(self, rows: Sequence[UsageRow]) -> None:
        """Add all of them or none. Unavailable where it is not known to have been done."""
        ...

    async def read(self, app: str, *, since_ms: int, until_ms: int) -> list[UsageRow]:
        """The hours that begin at or after `since_ms` and before `until_ms`, by hour, then route. InvalidInput for more than
        100,000."""
        ...

    async def trim(self, *, older_than_ms: int) -> int:
        """Forget hours that began before that moment; how many rows."""
        ...
