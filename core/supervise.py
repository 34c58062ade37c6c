"""The one place that starts background tasks: it keeps the reference, names the task and reports its failure."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

FailureReport = Callable[[str, BaseException], None]


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
