"""Replay out of the embedded log: what was published is put back for one subscription, piece by piece."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from bus import embedded_log as log
from bus.packing import unpack
from bus.topics import check_pattern, matcher
from core.bus import Past, Replayed, Span
from core.errors import InvalidInput, NotFound

T = TypeVar("T")
_PIECE = 200  # envelopes in memory at a time


class File(Protocol):
    """What it needs of its transport."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T: ...

    async def write(self, work: Callable[[sqlite3.Connection], T], *, is_synced: bool) -> T: ...


class EmbeddedPast:
    """See core.bus.Past. Live readers see what is put back within some hundredths of a second."""

    def __init__(self, file: File, *, max_bytes: int, keeps: bool) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._keeps = keeps

    async def replay(self, subscription: str, span: Span, *, is_dry: bool) -> Replayed:
        if not self._keeps:
            raise InvalidInput("the bus keeps nothing that was settled; see the setting bus_keep_s")
        check_pattern(span.pattern)
        pattern = await self._file.read(lambda db: log.pattern_of(db, subscription))
        if pattern is None:
            raise NotFound(f"there is no durable subscription {subscription!r}")
        reads, wanted = matcher(pattern), matcher(span.pattern)
        start = await self._file.read(lambda db: log.position_at(db, span.since_ms))
        end = await self._file.read(lambda db: log.position_at(db, span.until_ms))
        told = Replayed()
        while rows := await self._file.read(partial(log.published, start=start, end=end, limit=_PIECE)):
            start = rows[-1][0] + 1
            found = [(topic, at_ms, body) for _, topic, at_ms, body in rows if reads(topic) and wanted(topic)]
            for _, at_ms, body in found:
                told = added(told, unpack(body).count, at_ms)
            if found and not is_dry:
                bodies = [(topic, body) for topic, _, body in found]
                await self._file.write(
                    lambda db, bodies=bodies: log.put_back(db, subscription, bodies, self._max_bytes),  # type: ignore[misc]
                    is_synced=True,
                )
        return told


def added(told: Replayed, records: int, at_ms: int) -> Replayed:
    """One envelope more."""
    return Replayed(told.envelopes + 1, told.records + records, told.first_ms or at_ms, at_ms)


def _conforms(past: EmbeddedPast) -> Past:
    return past
