"""Counts and checksums of a dataset at its source and in the mirror, and which records differ (DESIGN §4, data kind a).

Both sides are read once and their rows dealt by key into buckets; a bucket is a count and a sum of digests, whatever order its rows
came in. Where two buckets differ, both sides are read once more for the rows of these buckets alone. Memory is bounded by that.
"""

import asyncio
import hashlib
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
import structlog

from core.adapter import Source
from core.clock import epoch_ms
from core.errors import ConfigError, Conflict, InvalidInput, NotFound, PlatformError
from core.records import Rows
from core.schema import Dataset, Value
from core.stores import Mirror, Reconciliation
from core.supervise import Tasks
from exchange.conversion import Conversion
from exchange.jobs import Connections

_log = structlog.get_logger("exchange.reconcile")
_BUCKETS = 1 << 16
_MASK = (1 << 64) - 1
_PAGE = 2_000
_MAX_LISTED = 20
_MAX_LOOKED_AT = 200_000  # rows of differing buckets that are held at a time, of each side
_ENCODER = msgspec.msgpack.Encoder()
Digests = Iterator[tuple[Sequence[Value], int, int]]
"""The key, its bucket, and the digest of the whole row."""


class _Side:
    """One side's rows so far: how many, and the sum of their digests by bucket."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = array("Q", bytes(8 * _BUCKETS))
        self.total = 0

    def add(self, digests: Digests) -> None:
        for _, bucket, digest in digests:
            self.count += 1
            self.sums[bucket] = (self.sums[bucket] + digest) & _MASK
            self.total = (self.total + digest) & _MASK


class Reconciler:
    """Compares in the background, one dataset at a time, and keeps the last outcome of each for as long as the process lives."""

    def __init__(
        self, connections: Connections, mirror: Mirror, datasets: Callable[[], Mapping[str, Dataset]], tasks: Tasks
    ) -> None:
        self._connections = connections
        self._mirror = mirror
        self._datasets = datasets
        self._tasks = tasks
        self._found: dict[str, Reconciliation] = {}
        self._running = ""

    def start(self, name: str) -> None:
        """Begin to compare the dataset `<source>.<dataset>`. NotFound for one not declared, Conflict while another is compared."""
        if name not in self._datasets():
            raise NotFound(f"there is no dataset {name}")
        if self._running:
            raise Conflict(f"{self._running} is being compared; one at a time")
        self._running = name
        self._tasks.spawn(self._run(name), name=f"reconcile {name}")

    def last(self, name: str) -> Reconciliation:
        """The comparison under way, or the last. NotFound where there was none since this process began."""
        if self._running == name:
            return Reconciliation(name, "running", epoch_ms())
        if name not in self._found:
            raise NotFound(f"{name} has not been compared since this node started")
        return self._found[name]

    async def _run(self, name: str) -> None:
        try:
            source = self._connections(name.partition(".")[0])
            if not isinstance(source, Source):
                raise ConfigError(f"source {name.partition('.')[0]} can't be read in bulk")
            found = await reconcile(name, self._datasets()[name], source, self._mirror)
        except PlatformError as error:
            found = Reconciliation(name, "failed", epoch_ms(), detail=error.detail)
        finally:
            self._running = ""
        self._found[name] = found
        _log.info("compared", dataset=name, state=found.state, source_rows=found.source_rows, mirror_rows=found.mirror_rows)


async def reconcile(name: str, dataset: Dataset, source: Source, mirror: Mirror) -> Reconciliation:
    """Read both sides and tell what differs. Raises the source's or the mirror's PlatformError.

    A row that changes at the source meanwhile, or whose change is on its way, differs as well: what is told is told of this moment.
    """
    at_ms, bad = epoch_ms(), [0]
    sides = (_Side(), _Side())
    readers = (partial(_of_source, dataset, source, bad), partial(_of_mirror, name, dataset, mirror))
    for side, read in zip(sides, readers, strict=True):
        async for digests in read():
            side.add(digests)
    theirs, ours = sides
    found = Reconciliation(name, "equal", at_ms, theirs.count, ours.count, f"{theirs.total:016x}", f"{ours.total:016x}", bad[0])
    differing = {bucket for bucket in range(_BUCKETS) if theirs.sums[bucket] != ours.sums[bucket]}
    if not differing:
        return found
    there, here = [await _rows_of(differing, read) for read in readers]
    if there is None or here is None:
        return msgspec.structs.replace(found, state="differs", detail=f"in more than {_MAX_LOOKED_AT} rows: not listed")
    missing = [key for key in there if key not in here]
    extra = [key for key in here if key not in there]
    changed = [key for key in there if key in here and there[key] != here[key]]
    if not (missing or extra or changed):
        return msgspec.structs.replace(found, detail="some rows changed while they were compared, and are equal now")
    shown = [
        *(f"missing {key}" for key in missing),
        *(f"vanished {key}" for key in extra),
        *(f"different {key}" for key in changed),
    ]
    return msgspec.structs.replace(
        found, state="differs", missing=len(missing), vanished=len(extra), different=len(changed), examples=shown[:_MAX_LISTED]
    )


async def _rows_of(buckets: set[int], read: Callable[[], AsyncIterator[Digests]]) -> dict[str, int] | None:
    """Digest by key of the rows in these buckets; None where they are too many."""
    found: dict[str, int] = {}
    async for digests in read():
        found.update((_shown(key), digest) for key, bucket, digest in digests if bucket in buckets)
        if len(found) > _MAX_LOOKED_AT:
            return None
    return found


async def _of_source(dataset: Dataset, source: Source, bad: list[int]) -> AsyncIterator[Digests]:
    """A full read as a job makes it, but nothing of it is kept or acknowledged."""
    conversion, bad[0] = Conversion(dataset), 0
    async with aclosing(source.read(dataset, None, batch_rows=_PAGE)) as transactions:  # type: ignore[type-var]
        async for transaction in transactions:
            if not isinstance(transaction.payload, Rows):
                raise InvalidInput(f"{dataset.object}: only sources that give rows can be compared, not files and messages")
            converted = conversion.rows(transaction.payload)
            bad[0] += len(converted.bad)
            yield _digests(dataset, converted.rows)


async def _of_mirror(name: str, dataset: Dataset, mirror: Mirror) -> AsyncIterator[Digests]:
    after: Sequence[Value] | None = None
    while rows := await mirror.query(name, {}, limit=_PAGE, after=after):
        yield _digests(dataset, [[row.record[column] for column in dataset.columns] for row in rows])
        after = [rows[-1].record[column] for column in dataset.key]
        await asyncio.sleep(0)


def _digests(dataset: Dataset, rows: Sequence[Sequence[Value]]) -> Digests:
    places = [dataset.columns.index(column) for column in dataset.key]
    for row in rows:
        key = [row[place] for place in places]
        bucket = int.from_bytes(_digest(key)[:2], "big")
        yield key, bucket, int.from_bytes(_digest(list(row)), "big")


def _digest(values: Any) -> bytes:
    return hashlib.blake2b(_ENCODER.encode(values), digest_size=8).digest()


def _shown(key: Sequence[Value]) -> str:
    return ",".join(map(str, key))[:200]
