"""What travels from a source to the sinks: raw payloads inside a transaction, then converted change sets."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Cursor: TypeAlias = dict[str, Any]
"""Where a read stands, JSON-safe, opaque to all but the adapter that made it. Kept as the job's checkpoint."""


@dataclass(slots=True)
class Rows:
    """Rows as the driver gives them. `columns` are the source's names; each row has as many values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(slots=True)
class Chunk:
    """A piece of one file, in order. `last` closes the file; a decoder keeps its state per `name` between chunks."""

    name: str
    data: bytes
    last: bool


@dataclass(slots=True)
class Frames:
    """Whole messages as they came over a socket, each one record in the dataset's format."""

    frames: Sequence[bytes]


Payload: TypeAlias = Rows | Chunk | Frames


async def _nothing() -> None:
    return None


@dataclass(slots=True)
class Transaction:
    """A batch together with its acknowledgement (the duty travels with the data).

    `cursor` is where a read may resume once this transaction is durable; None means the exchange derives it from the
    dataset's cursor field of the converted rows. `observed_ms` is taken *before* the source was asked, so that a row read
    early and delivered late can never overwrite a newer write. `acknowledge` is awaited exactly once, after the bus has the
    records durably; a transaction that is dropped without it must come again.
    """

    payload: Payload
    cursor: Cursor | None
    observed_ms: int
    acknowledge: Callable[[], Awaitable[None]] = _nothing


@dataclass(slots=True)
class BadRow:
    """A row that could not be converted: why, where, and its bytes as they came (at most 64 KiB are kept).

    `columns` are the names its values stand under, where the row alone does not say (CSV, SQL): a replay needs them.
    """

    reason: str
    place: str  # "line 17", "row 3", "offset 4096"
    raw: bytes
    columns: tuple[str, ...] = ()


class ChangeSet(Struct, array_like=True, frozen=True):
    """Converted rows of one dataset, packed once at intake; its bytes travel the bus unchanged.

    `rows` follow `fields` in order. For `delete` only the key fields are present. A `patch` sets some fields of rows that are known
    and makes none. `sweep` comes behind a full load that began at `observed_ms`: what has not been seen since is gone at the
    source; its one row says which share of all may go at most.
    """

    dataset: str  # "<source>.<dataset>"
    op: Literal["upsert", "delete", "patch", "sweep"]
    fields: tuple[str, ...]
    rows: list[Sequence[Any]]
    observed_ms: int
