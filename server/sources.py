"""The connections of a process: one guarded connection a source, opened when it is first used, replaced when it changes."""

from collections.abc import Mapping
from contextlib import aclosing

from adapters.guarded import guarded
from config.model import Platform
from config.model import Source as DeclaredSource
from config.types import convert
from core.adapter import Adapter, Connection, Source
from core.clock import Clock
from core.errors import ConfigError, InvalidInput, NotFound
from core.records import Chunk
from core.supervise import Tasks


class SourcePool:
    """`get` is what the exchange calls `Connections`. Nothing connects before it is asked to work."""

    def __init__(self, adapters: Mapping[str, Adapter], clock: Clock, tasks: Tasks) -> None:
        self._adapters = adapters
        self._clock = clock
        self._tasks = tasks
        self._declared: dict[str, DeclaredSource] = {}
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
        adapter = self._adapters.get(source.adapter)
        if adapter is None:
            raise ConfigError(f"source {name}: this node has no adapter {source.adapter}; name its module in `plugins`")
        inner = adapter.open(convert(source.settings, adapter.settings))
        connection = self._open[name] = guarded(inner, source.guard, self._clock, name)
        return connection

    async def check(self, name: str) -> None:
        """The connection test of the console: connect, authenticate, one small call."""
        await self.get(name).check()

    async def sample(self, name: str, dataset: str) -> bytes:
        """The first piece of the first file of a dataset, of at most 1 MiB; nothing of it is acknowledged. NotFound where there is
        none, InvalidInput for a source that gives no files."""
        declared = self._declared[name].datasets.get(dataset) if name in self._declared else None
        if declared is None:
            raise NotFound(f"there is no dataset {name}.{dataset}")
        connection = self.get(name)
        if not isinstance(connection, Source):
            raise ConfigError(f"source {name} can't be read in bulk")
        async with aclosing(connection.read(declared, None, batch_rows=1)) as transactions:  # type: ignore[type-var]
            async for transaction in transactions:
                if not isinstance(transaction.payload, Chunk):
                    raise InvalidInput(f"{name}.{dataset} is no file: its source says itself what its columns are")
                return transaction.payload.data
        raise NotFound(f"{name}.{dataset}: no file matches {declared.object}")

    async def close(self) -> None:
        for connection in self._open.values():
            await connection.close()
        self._open.clear()
