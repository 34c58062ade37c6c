"""The one place that starts background tasks: it keeps the reference, names the task and reports its failure."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

FailureReport = Callable[[str, BaseException], None]
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class Tasks:
    """A group of named background tasks that end together.

    `report(name, error)` is called once for every task that ends by an exception other than cancellation.
    """

    def __init__(self, report: FailureReport) -> None:
        self._report = report
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start `work`; the returned task may be cancelled, its failure is reported here and nowhere else."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def keep(self, make: Callable[[], Coroutine[Any, Any, Any]], *, name: str) -> asyncio.Task[Any]:
        """Keep a loop running: when it fails, report it and start it anew, after pauses that double up to 30 s."""
        return self.spawn(self._kept(make, name), name=name)

    async def _kept(self, make: Callable[[], Coroutine[Any, Any, Any]], name: str) -> None:
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await make()
                return
            except Exception as error:  # noqa: BLE001  # the supervisor: one of the three places
                self._report(name, error)
            if loop.time() - started > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Cancel what still runs and wait at most `grace_s` seconds for it to end."""
        pending = set(self._tasks)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=grace_s)
