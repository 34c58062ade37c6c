"""One run of a collection job: source → intake, batch by batch, with progress, lease and checkpoint (requirement 0.27)."""

import asyncio
from contextlib import aclosing

from core.adapter import Source
from core.clock import Clock, epoch_ms
from core.errors import Unavailable
from core.schema import Dataset
from core.stores import JobStates, Run
from exchange.intake import Intake

LEASE_S = 30.0


class Collection:
    """Runs once. `run` is kept up to date while it goes, so that whoever holds it sees live progress."""

    def __init__(
        self, run: Run, source: Source, dataset: Dataset, intake: Intake, states: JobStates, clock: Clock, *, owner: str
    ) -> None:
        self._run = run
        self._source = source
        self._dataset = dataset
        self._intake = intake
        self._states = states
        self._clock = clock
        self._owner = owner
        self._leased_at = clock.monotonic()

    async def collect(self, *, is_full: bool, batch_rows: int) -> None:
        """Read from the checkpoint (or all) to the end. Raises the source's PlatformError; what was stored stays stored."""
        cursor = None if is_full else await self._states.checkpoint(self._run.job)
        started_ms = epoch_ms()
        self._run.expected = await self._source.estimate(self._dataset, cursor)
        async with aclosing(self._source.read(self._dataset, cursor, batch_rows=batch_rows)) as transactions:  # type: ignore[type-var]
            async for transaction in transactions:
                taken = await self._intake.take(transaction)
                self._run.rows += taken.rows
                self._run.bad_rows += taken.bad
                await self._states.progress(self._run, taken.cursor)
                await transaction.acknowledge()
                await self._keep_lease()
        await self._intake.complete(observed_ms=started_ms)

    async def _keep_lease(self) -> None:
        now = self._clock.monotonic()
        if now - self._leased_at < LEASE_S / 3:
            return
        if not await self._states.lease(self._run.job, owner=self._owner, ttl_s=LEASE_S):
            raise Unavailable(f"job {self._run.job}: another node has taken it over")
        self._leased_at = now


async def until(condition: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for the event at most so long; whether it came."""
    try:
        async with asyncio.timeout(timeout_s):
            await condition.wait()
    except TimeoutError:
        return False
    return True
