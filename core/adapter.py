"""The contract of a connector to a foreign system. An adapter is one file in `adapters/` that exposes `ADAPTER`.

A connection serves the protocols it can; what it can is declared in `Adapter.abilities`, so that a declared service which needs
more is refused when it is applied, not when it is called. Calls on one connection may overlap. Every method raises
`NotConnected` (nothing sent), `Unauthenticated` (bad credential), `Forbidden`, `NotFound` (no such table, file, operation),
`Unavailable` (failed while working), `InvalidInput` (the source refused the data) or `DeadlineExceeded`; nothing else.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, SourceColumn, Value

Ability = Literal["read", "lookup", "write", "call"]


@runtime_checkable
class Connection(Protocol):
    """An open source. It connects lazily and reconnects by itself: a source that is down at start-up may come later."""

    async def check(self) -> None:
        """Connect, authenticate and do the smallest useful call. Raises what is wrong in one clear line."""
        ...

    async def close(self) -> None:
        """Give back every socket and thread. Calls under way may fail with NotConnected. Idempotent."""
        ...


@runtime_checkable
class Source(Connection, Protocol):
    """`read`: bulk reading, in order, resumable."""

    def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Stream what has come since `cursor` (None: everything), oldest first, at most `batch_rows` rows a transaction.

        The iterator ends when the source has no more for now. It holds no more than two batches in memory. When the caller
        stops early it closes the iterator, which gives back the connection.
        """
        ...

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """How many rows `read` would give, for progress only; None where asking costs too much."""
        ...


@runtime_checkable
class Describes(Connection, Protocol):
    """What a table looks like at the source now. No ability of its own: who can, does."""

    async def describe(self, dataset: Dataset) -> list[SourceColumn]:
        """Every column of the dataset's object, in order. Empty where the source does not tell (a right is missing, a synonym)."""
        ...


@runtime_checkable
class Lookup(Connection, Protocol):
    """`lookup`: single records straight from the source, the last of the four tiers."""

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        """The one row with this key (outward field names), raw, or None. Keyed by every field of `dataset.key`."""
        ...


@runtime_checkable
class Writer(Connection, Protocol):
    """`write`: keyed upserts and deletes in the source's own transaction (data kind b)."""

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        """Set the given fields (outward names, canonical values) of the row with this key, making it where it is missing.

        Doing it twice leaves the same row, so the journal may replay it after a crash. Fields not given keep their value.
        """
        ...

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        """Remove the row with this key; that it is gone already is success."""
        ...


@runtime_checkable
class Backend(Connection, Protocol):
    """`call`: one live call of an interface that is already fit (data kind c)."""

    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        """Call and give the answer as JSON-safe values. A fault the caller caused is InvalidInput or NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an adapter's file exposes as `ADAPTER`.

    `settings` and `options` are msgspec Structs with `forbid_unknown_fields`, from which YAML validation, the JSON Schema and
    the console's form come. Secret settings have the type `core.secret.Secret`. `open` must not connect nor import a driver;
    the driver is imported on first use, and a missing system library is a NotConnected that names the package.
    """

    name: str
    title: str
    settings: type[Struct]
    options: type[Struct]
    abilities: frozenset[Ability]
    open: Callable[[Any], Connection]
