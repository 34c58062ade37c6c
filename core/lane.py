"""A few threads for short blocking calls. A way there and back costs half of what an executor takes, under load a quarter: no lock,
no second future, one wake of the loop (benchmarks/RESULTS.md, tiers)."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Lane:
    """Calls begin in the order in which they were given; with one thread they also end so. Threads start with the first call."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._name = name
        self._count = threads
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """What `work` gives or raises. One that was cancelled before its turn is not run; one that has begun goes on to its end.
        RuntimeError after `close`."""
        if self._is_closed:
            raise RuntimeError(f"{self._name} was closed")
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True) for number in range(self._count)
            ]
            for thread in self._threads:
                thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, done, work))
        return done

    async def close(self) -> None:
        """Take no more, do what was given, end the threads. Idempotent."""
        self._is_closed = True
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            loop, done, work = job
            result, error = None, None
            if not done.cancelled():
                try:
                    result = work()
                except BaseException as raised:  # noqa: BLE001  # it is the caller's
                    error = raised
            try:
                loop.call_soon_threadsafe(_settle, done, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del job, loop, done, work, result, error  # nothing is held while waiting for the next


def _settle(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.done():  # its caller was cancelled meanwhile
        return
    if error is None:
        done.set_result(result)
    else:
        # A Future takes no StopIteration: it would end whoever awaits it.
        done.set_exception(RuntimeError(f"raised {error!r}") if isinstance(error, StopIteration) else error)
