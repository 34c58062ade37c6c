"""Some fields of one dataset loaded anew, beside the job's own runs: after a new column, or a mended declaration.

The rows go out as patches: only known records change, only in these fields, and not where they were seen later. The checkpoint is
neither read nor moved; new records come with the job's next increment, whole.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from core.adapter import Source
from core.errors import InvalidInput, Unavailable
from core.expression import Expression
from core.schema import Dataset
from core.stores import JobStates, Run
from exchange.intake import Intake


def chosen_fields(dataset: Dataset, fields: Sequence[str]) -> tuple[str, ...]:
    """The fields, each once. InvalidInput for what can't be loaded by itself."""
    if dataset.format is not None:
        raise InvalidInput(f"{dataset.object} comes as files or messages, which can't be read anew; let them come once more")
    if unknown := [name for name in fields if name not in dataset.fields]:
        raise InvalidInput(f"{dataset.object} has no field {', '.join(unknown)}; it has {', '.join(dataset.fields)}")
    chosen = tuple(dict.fromkeys(name for name in fields if name not in dataset.key))
    if not chosen:
        raise InvalidInput("name at least one field that is not part of the key")
    return chosen


def part_of(dataset: Dataset, fields: Sequence[str]) -> Dataset:
    """The key, these fields and what they are computed from: all that is asked of the source."""
    asked = {*dataset.key, *fields}
    for name in tuple(asked):
        expression = dataset.field(name).expression
        if expression is not None:
            asked |= Expression(expression).names
    wanted = {name: field for name, field in dataset.fields.items() if name in asked}
    return replace(dataset, fields=wanted, cursor=None, indexes=())


class Backfill:
    """Runs once; `keep` renews the job's lease."""

    def __init__(
        self, run: Run, source: Source, dataset: Dataset, intake: Intake, states: JobStates, keep: Callable[[], Awaitable[bool]]
    ) -> None:
        self._run = run
        self._source = source
        self._dataset = dataset
        self._intake = intake
        self._states = states
        self._keep = keep

    async def collect(self, *, batch_rows: int) -> None:
        """Read all of it, in the order of the key. Raises the source's PlatformError; what was stored stays stored."""
        self._run.expected = await self._source.estimate(self._dataset, None)
        async with aclosing(self._source.read(self._dataset, None, batch_rows=batch_rows)) as transactions:  # type: ignore[type-var]
            async for transaction in transactions:
                taken = await self._intake.take(transaction)
                self._run.rows += taken.rows
                self._run.bad_rows += taken.bad
                await self._states.progress(self._run, None)
                await transaction.acknowledge()
                if not await self._keep():
                    raise Unavailable(f"job {self._run.job}: another node has taken it over")
