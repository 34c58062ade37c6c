"""The columns of a source against what its dataset declares: compared, kept, told, and followed as the dataset's `drift` says.

`freeze`: a run fails where a declared column is gone. `evolve`: so it does, and new columns become fields. `quarantine`: rows that
lack a declared column go to quarantine. New columns and changed types are reported in all of them. See ADR 0021.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from config.model import Job
from core.clock import epoch_ms
from core.errors import InvalidInput
from core.schema import Dataset, SourceColumn
from core.stores import JobStates, SchemaEvent, SchemaReport
from exchange.alerts import Alerts

Evolve = Callable[[str, Sequence[SourceColumn]], Awaitable[Dataset]]
"""Adds the columns that can be fields to a dataset's declaration and gives it as it stands then."""
_KEPT_EVENTS = 20
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Columns by the source's names; `changed` as `amount: int(11) → varchar(20)`."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def difference(dataset: Dataset, first: Sequence[SourceColumn], now: Sequence[SourceColumn]) -> Difference:
    """What is new beside the declaration, what it names that is gone, and whose type is not what it was at first.

    Names of tables' columns are compared without case, as most databases do.
    """
    fold = str.casefold if dataset.format is None else str
    declared = {fold(name): name for name in dataset.read_columns}
    present = {fold(column.name): column for column in now}
    before = {fold(column.name): column for column in first}
    return Difference(
        tuple(column.name for key, column in present.items() if key not in declared),
        tuple(name for key, name in declared.items() if key not in present),
        tuple(
            f"{column.name}: {before[key].native} → {column.native}"
            for key, column in present.items()
            if key in declared and key in before and before[key].native != column.native
        ),
    )


def without(dataset: Dataset, missing: Sequence[str]) -> Dataset:
    """The dataset to read where those columns are gone. InvalidInput where its key or cursor is among them."""
    gone = set(missing)
    lost = [name for name in dataset.fields if gone & set(dataset.needs(name))]
    if needed := [name for name in lost if name in dataset.key or name == dataset.cursor]:
        raise InvalidInput(f"{dataset.object}: without {', '.join(needed)}, its key or cursor, it can't be read")
    return replace(
        dataset,
        fields={name: field for name, field in dataset.fields.items() if name not in lost},
        indexes=tuple(name for name in dataset.indexes if name not in lost),
    )


class Watch:
    """Of one run of one job."""

    def __init__(self, job: str, declared: Job, states: JobStates, alerts: Alerts | None, evolve: Evolve | None) -> None:
        self._job = job
        self._declared = declared
        self._states = states
        self._alerts = alerts
        self._evolve = evolve
        self._has_drifted = False

    async def seen(self, dataset: Dataset, columns: Sequence[SourceColumn]) -> Dataset:
        """Compare, keep and tell. Gives the dataset to go on with. Raises InvalidInput where the run can't."""
        before = await self._states.schema(self._job)
        fingerprint = _fingerprint(dataset)
        is_same = before is not None and before.fingerprint == fingerprint
        first = before.first if before is not None and is_same else tuple(columns)
        found = difference(dataset, first, columns)
        evolved: tuple[str, ...] = ()
        if dataset.drift == "evolve" and found.added and not found.removed and self._evolve is not None:
            wanted = [column for column in columns if column.name in found.added]
            after = await self._evolve(self._declared.dataset, wanted)
            evolved = tuple(name for name in after.fields if name not in dataset.fields)
            dataset = after
        await self._keep(
            before,
            SchemaReport(
                self._job,
                self._declared.dataset,
                epoch_ms(),
                fingerprint,
                first,
                tuple(columns),
                found.added,
                found.removed,
                found.changed,
                evolved,
            ),
        )
        if found.removed and dataset.drift != "quarantine":
            raise InvalidInput(f"{dataset.object}: {_text(found, evolved)}; mend the dataset's declaration, or the source")
        return dataset

    async def _keep(self, before: SchemaReport | None, report: SchemaReport) -> None:
        """A change is told once: when it is not what was found last time."""
        text = _text(Difference(report.added, report.removed, report.changed), report.evolved)
        if not text and self._has_drifted:
            return  # of several files one was as declared
        self._has_drifted = self._has_drifted or bool(text)
        old = () if before is None else before.events
        was = "" if before is None else _text(Difference(before.added, before.removed, before.changed), before.evolved)
        is_news = bool(text) and text != was
        events = (*old, SchemaEvent(report.at_ms, text))[-_KEPT_EVENTS:] if is_news else old
        await self._states.keep_schema(replace(report, events=events))
        # What was evolved is settled for the platform, and still news to a person.
        is_over = bool(was) and not text and before is not None and not before.evolved
        if self._alerts is not None and (is_news or is_over):
            await self._alerts.drifted(self._declared, self._job, text)


def _fingerprint(dataset: Dataset) -> str:
    fields = [(column, *(name for name in dataset.fields if column in dataset.needs(name))) for column in dataset.read_columns]
    types = [dataset.field(name).type for name in dataset.fields]
    return hashlib.sha256(msgspec.json.encode([dataset.object, fields, types])).hexdigest()[:16]


def _text(found: Difference, evolved: Sequence[str]) -> str:
    parts = []
    for word, names in (
        ("gone from the source", found.removed),
        ("new at the source", found.added),
        ("changed type", found.changed),
        ("added to the dataset as", evolved),
    ):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"{word}: {', '.join(names[:_NAMED])}{more}")
    return "; ".join(parts)
