"""The connections of a process: one guarded connection a source, opened when it is first used, replaced when it changes."""

from collections.abc import Callable

import structlog

from config.load import source_settings
from config.model import Platform, Source
from core.adapter import Adapter, Connection
from core.clock import Clock
from core.errors import NotFound
from core.supervise import Tasks
from adapters.guarded import guarded

_log = structlog.get_logger("server.sources")


class SourcePool:
    """`get` is what the exchange calls `Connections`. Nothing connects before it is asked to work."""

    def __init__(self, adapters: dict[str, Adapter], unseal: Callable[[str], str], clock: Clock, tasks: Tasks) -> None:
        self._adapters = adapters
        self._unseal = unseal
        self._clock = clock
        self._tasks = tasks
        self._declared: dict[str, Source] = {}
        self._open: dict[str, Connection] = {}

    def reload(self, platform: Platform) -> None:
        """Take the sources of a new snapshot; connections of changed and vanished ones close behind their calls."""
        for name, connection in list(self._open.items()):
            if platform.sources.get(name) != self._declared[name]:
                del self._open[name]
                self._tasks.spawn(connection.close(), name=f"close {name}")
        self._declared = dict(platform.sources)

    def get(self, name: str) -> Connection:
        """The connection of a source; NotFound for one that is not declared, ConfigError for settings that are wrong."""
        if name in self._open:
            return self._open[name]
        source = self._declared.get(name)
        if source is None:
            raise NotFound(f"there is no source {name}")
        settings = source_settings(source, self._adapters, self._unseal)
        inner = self._adapters[source.adapter].open(settings)
        connection = self._open[name] = guarded(inner, source.guard, self._clock, name)
        return connection

    async def check(self, name: str) -> None:
        """The connection test of the console: connect, authenticate, one small call."""
        await self.get(name).check()

    async def close(self) -> None:
        for connection in self._open.values():
            await connection.close()
        self._open.clear()
