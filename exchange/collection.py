"""One run of a collection job: source → intake, batch by batch, with progress, lease and checkpoint (requirement 0.27)."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from core.adapter import Describes, Source
from core.clock import Clock, epoch_ms
from core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated, Unavailable
from core.records import Transaction
from core.schema import Dataset, SourceColumn
from core.stores import JobStates, Run
from exchange.drift import Watch, without
from exchange.intake import Intake, NewColumnsError, Taken

LEASE_S = 30.0
_EVOLUTIONS = 20
"""How many times one run may begin to read anew because a file brought new columns."""
_HEADERS = 1_000  # kinds of them; more than that are compared once more
MakeIntake = Callable[[Dataset, Sequence[str]], Intake]
"""For a dataset, and the columns beside its own that are no news."""


class PausedError(Exception):
    """An operator wants the job to stand still; what was read is stored and the checkpoint stands behind it."""


class Collection:
    """Runs once. `run` is kept up to date while it goes, so that whoever holds it sees live progress."""

    def __init__(
        self,
        run: Run,
        source: Source,
        dataset: Dataset,
        make_intake: MakeIntake,
        states: JobStates,
        clock: Clock,
        watch: Watch,
        *,
        owner: str,
        is_pausing: Callable[[], bool],
    ) -> None:
        self._run = run
        self._source = source
        self._dataset = dataset
        self._make_intake = make_intake
        self._intake = make_intake(dataset, ())
        self._states = states
        self._clock = clock
        self._watch = watch
        self._owner = owner
        self._is_pausing = is_pausing
        self._leased_at = clock.monotonic()
        self._known: set[str] = set()  # columns beside the declared ones that have been told
        self._headers: dict[tuple[str, ...], None] = {}  # of this run's files

    async def collect(self, *, is_fresh: bool, batch_rows: int) -> None:
        """Read all (`is_fresh`) or from the checkpoint to the end. Raises the source's PlatformError, or PausedError between two
        batches; what was stored stays stored."""
        if is_fresh:
            await self._states.reset(self._run.job)
        started_ms = epoch_ms()
        readable = await self._described()
        for _ in range(_EVOLUTIONS):
            try:
                await self._read(readable, batch_rows)
            except NewColumnsError as news:
                readable = await self._seen([SourceColumn(name) for name in news.columns], known=news.columns)
                continue
            await self._intake.complete(observed_ms=started_ms)
            return
        raise Unavailable(f"job {self._run.job}: its files bring new columns again and again; the next run goes on")

    async def _read(self, dataset: Dataset, batch_rows: int) -> None:
        cursor = await self._states.checkpoint(self._run.job)
        self._run.expected = await self._source.estimate(dataset, cursor)
        async with aclosing(self._source.read(dataset, cursor, batch_rows=batch_rows)) as transactions:  # type: ignore[type-var]
            async for transaction in transactions:
                taken = await self._taken(transaction)
                self._run.rows += taken.rows
                self._run.bad_rows += taken.bad
                await self._states.progress(self._run, taken.cursor)
                await transaction.acknowledge()
                await self._keep_lease()
                if self._is_pausing():
                    raise PausedError

    async def _taken(self, transaction: Transaction) -> Taken:
        try:
            taken = await self._intake.take(transaction)
        except InvalidInput:
            await self._compare_header()  # says more of a column that is gone, and keeps it
            raise
        await self._compare_header()
        return taken

    async def _compare_header(self) -> None:
        header = tuple(self._intake.header)
        if self._dataset.format is not None and header and header not in self._headers:
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            self._headers[header] = None
            await self._watch.seen(self._dataset, [SourceColumn(name) for name in header])

    async def _described(self) -> Dataset:
        """The dataset to read: with what is new, without what is gone, as far as its `drift` allows."""
        if self._dataset.format is not None or not isinstance(self._source, Describes):
            return self._dataset
        try:
            columns = await self._source.describe(self._dataset)
        except (InvalidInput, Forbidden, NotFound, Unauthenticated):
            return self._dataset  # what is wrong with it, reading will say
        return await self._seen(columns) if columns else self._dataset

    async def _seen(self, columns: Sequence[SourceColumn], *, known: Sequence[str] = ()) -> Dataset:
        dataset = await self._watch.seen(self._dataset, columns)
        if dataset is not self._dataset or known:
            self._dataset = dataset
            self._known.update(known)
            self._headers[tuple(known)] = None
            self._intake = self._make_intake(dataset, tuple(self._known))
        if known:  # a file: its rows tell themselves what they lack
            return dataset
        present = {column.name.casefold() for column in columns}
        missing = [name for name in dataset.read_columns if name.casefold() not in present]
        return without(dataset, missing) if missing else dataset

    async def _keep_lease(self) -> None:
        now = self._clock.monotonic()
        if now - self._leased_at < LEASE_S / 3:
            return
        if not await self._states.lease(self._run.job, owner=self._owner, ttl_s=LEASE_S):
            raise Unavailable(f"job {self._run.job}: another node has taken it over")
        if self._run.job in await self._states.paused():  # told to another node
            raise PausedError
        self._leased_at = now


async def until(condition: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for the event at most so long; whether it came."""
    try:
        async with asyncio.timeout(timeout_s):
            await condition.wait()
    except TimeoutError:
        return False
    return True
