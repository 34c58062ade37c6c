"""Keeps a loop for every upstream that is probed or discovered, and ends it when the declaration goes or changes."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from random import SystemRandom
from typing import Any

from config.upstreams import Tls
from core.supervise import Tasks
from gateway.upstream.discovery import discovery_loop
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.probe import http_fetch, probe_loop
from gateway.upstream.upstream import Upstreams, UpstreamState

_JITTER = 0.1
_random = SystemRandom()


def _log(text: str) -> None:
    logging.getLogger("gateway.upstream").warning(text)


async def _pause(seconds: float) -> None:
    """Not all workers and nodes at the same moment."""
    await asyncio.sleep(seconds * _random.uniform(1 - _JITTER, 1 + _JITTER))


class Watch:
    """`reload` after each `Upstreams.reload`, in the event loop. `removed` gets endpoints that discovery finds no longer."""

    def __init__(
        self,
        upstreams: Upstreams,
        tasks: Tasks,
        *,
        context_of: Callable[[Tls], ssl.SSLContext],
        removed: Callable[[list[EndpointState]], None],
        report: Callable[[str], None] = _log,
    ) -> None:
        self._upstreams = upstreams
        self._tasks = tasks
        self._context_of = context_of
        self._removed = removed
        self._report = report
        self._running: dict[str, tuple[Any, asyncio.Task[Any]]] = {}

    def reload(self) -> None:
        wanted = {name: (key, make) for state in self._upstreams.all() for name, key, make in self._loops(state)}
        for name, (key, task) in list(self._running.items()):
            if name not in wanted or wanted[name][0] != key:
                task.cancel()
                del self._running[name]
        for name, (key, make) in wanted.items():
            if name not in self._running:
                self._running[name] = key, self._tasks.keep(make, name=name)

    def _loops(self, state: UpstreamState) -> list[tuple[str, Any, Callable[[], Coroutine[Any, Any, None]]]]:
        """Name, what it depends on, and the loop itself."""
        found: list[tuple[str, Any, Callable[[], Coroutine[Any, Any, None]]]] = []
        declared = state.declared
        if (active := declared.active) is not None:
            fetch = http_fetch(declared.tls, self._context_of)
            found.append(
                (
                    f"probe-{state.name}",
                    (state, active, declared.tls),
                    lambda: probe_loop(state, active, fetch, pause=_pause, report=self._report),
                )
            )
        if (discovery := declared.discovery) is not None:
            found.append(
                (
                    f"discover-{state.name}",
                    (state, discovery),
                    lambda: discovery_loop(state, discovery, self._removed, pause=_pause, report=self._report),
                )
            )
        return found
