"""What the API takes and gives besides resource bodies, whose shapes are `config.model`'s. Times are ms since 1970."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from config.diff import Difference
from core.stores import NodeReport, Run
from registry.credentials import OwnerKind
from registry.users import Role


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller sends: no unknown field."""


class Login(Body, frozen=True):
    name: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]


class Session(Struct, frozen=True):
    """`token` goes into `Authorization: Bearer …`."""

    token: str
    name: str
    role: Role


class Identity(Struct, frozen=True):
    """A user."""

    name: str
    role: Role


class OwnPassword(Body, frozen=True):
    current: Annotated[str, Meta(max_length=1000)]
    new: Annotated[str, Meta(max_length=1000)]


class NewUser(Body, frozen=True):
    name: str
    password: Annotated[str, Meta(max_length=1000)]
    role: Role = "viewer"


class NewPassword(Body, frozen=True):
    password: Annotated[str, Meta(max_length=1000)]


class NewRole(Body, frozen=True):
    role: Role


class NewToken(Body, frozen=True):
    ttl_s: Annotated[float, Meta(gt=0)] = 30 * 86_400.0


class AutomationToken(Struct, frozen=True):
    """Shown this once."""

    name: str
    token: str
    expires_in_s: float


class Stored(Struct, frozen=True):
    """A resource. `version` is its ETag; secrets in `body` are `***`."""

    name: str
    version: int
    changed_ms: int
    body: dict[str, Any]


class Progress(Struct, frozen=True):
    """How a job's last or present run stands. `share` is 0…1, or None where the total is not known."""

    batch_id: str
    state: Literal["running", "succeeded", "partial", "failed", "cancelled", "paused"]
    rows: int
    bad_rows: int
    expected: int | None
    share: float | None
    rows_per_s: float
    attempt: int
    reason: str
    started_ms: int
    ended_ms: int | None


class StoredStep(Struct, frozen=True):
    """One step: which record of which service, and what has become of it."""

    service: str
    op: str
    key: dict[str, Any]
    fields: list[str]
    state: str


class StoredTransaction(Struct, frozen=True):
    """`failed_step` counts from 0; None where none was refused."""

    id: str
    app: str
    state: str
    at_ms: int
    steps: list[StoredStep]
    failed_step: int | None
    reason: str


class WantedFields(Body, frozen=True):
    """The fields of a dataset that are to be loaded anew."""

    fields: tuple[str, ...]


class StoredJob(Stored, frozen=True):
    """A job with the run under way, or the last one."""

    progress: Progress | None = None
    is_paused: bool = False


class DocumentBody(Body, frozen=True):
    """A whole platform document, or part of one."""

    document: dict[str, Any]
    prune: bool = False
    dry_run: bool = False


class RollbackBody(Body, frozen=True):
    """Back to how everything declared was at `revision`."""

    revision: Annotated[int, Meta(ge=0)]
    dry_run: bool = False


class Applied(Struct, frozen=True):
    """What was (or would be) changed. `revision` is the registry's afterwards."""

    revision: int
    changes: list[Difference]
    unchanged: int
    dry_run: bool


class IssuedCredential(Struct, frozen=True):
    """The secret is shown this once."""

    key: str
    secret: str


class CredentialInfo(Struct, frozen=True):
    """A credential without its secrets."""

    key: str
    owner_kind: OwnerKind
    owner: str
    created_ms: int
    overlap_ends_ms: int | None


class Rotation(Body, frozen=True):
    overlap_s: Annotated[int, Meta(ge=0)] = 86_400


class SourceHealth(Struct, frozen=True):
    """How the connection test went: `code` and `detail` say what is wrong."""

    name: str
    ok: bool
    took_ms: int
    code: str = ""
    detail: str = ""


class QuarantinedRow(Struct, frozen=True):
    """A bad row. `raw_base64` and its best-effort `text` are given for one row, to operators only: it is customer data."""

    id: str
    job: str
    dataset: str
    batch_id: str
    at_ms: int
    reason: str
    place: str
    columns: tuple[str, ...]
    state: Literal["waiting", "replayed", "discarded"]
    raw_base64: str | None = None
    text: str | None = None


class MendedRow(Body, frozen=True):
    raw_base64: str | None = None


class RowState(Struct, frozen=True):
    id: str
    state: Literal["replayed", "discarded"]


class BusState(Struct, frozen=True):
    """Envelopes not yet settled, per subscription, and how many dead letters wait (at most 1000 are counted)."""

    depth: dict[str, int]
    dead_letters: int


class ReplayWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """From `since_ms` on, before `until_ms` (now, by default), on the topics of a pattern."""

    since_ms: Annotated[int, Meta(ge=0)]
    until_ms: int | None = None
    pattern: str = "#"
    dry_run: bool = True


class DeadLetterInfo(Struct, frozen=True):
    """A dead letter without its data."""

    id: str
    subscription: str
    topic: str
    key: str
    count: int
    cause: str
    attempts: int
    dead_ms: int


class Node(Struct, frozen=True):
    """A process's report; `is_live` where it is younger than 5 s, `is_current` where it runs the registry's revision."""

    report: NodeReport
    is_live: bool
    is_current: bool


class Rate(Struct, frozen=True, array_like=True):
    """One second of traffic, all gateways together: `[at_ms, requests a second]`."""

    at_ms: int
    requests_per_s: float


class Overview(Struct, frozen=True):
    """The state of the platform at a glance; what the console's page shows."""

    version: str
    gateway_url: str
    revision: int
    parts: dict[str, str]
    nodes: list[Node]
    requests_per_s: float
    traffic: list[Rate]  # the last five minutes, oldest first
    jobs: list[StoredJob]
    quarantine: dict[str, int]
    bus: BusState
    runs: list[Run]


class Health(Struct, frozen=True):
    """`parts`: part → `ok` or `failing`; what is wrong is told to those who log in."""

    status: Literal["ok", "failing"]
    parts: dict[str, str] = {}
