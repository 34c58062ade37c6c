"""Kinds a and b read alike: from the mirror through the tiers, a record the mirror lacks from its source."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from config.model import Service
from core.adapter import Lookup
from core.clock import epoch_ms
from core.errors import InvalidInput, NotFound
from core.schema import Dataset, Value
from core.service import Answer, Caller, DataService, Write
from core.stores import Mirror, MirrorRow
from exchange.conversion import Conversion
from exchange.jobs import Connections
from exchange.services.keys import page_cursor, parse_filters, parse_key, parse_page_cursor
from exchange.services.tiers import Kept, Tiers

_ENCODER = msgspec.json.Encoder()
_POLL_S = 0.1


def etag_of(row: MirrorRow) -> str:
    """The mirror's version as a strong entity tag (RFC 9110 §8.8.3)."""
    return f'"{row.version}"'


def kept_row(row: MirrorRow) -> Kept:
    """A mirrored record as an answer to keep."""
    return Kept(_ENCODER.encode(row.record), row.observed_ms, "db", etag_of(row), last_version=row.version)


class RecordService:
    """See core.service.DataService. `name` is the dataset's full name, which is also the tag of its cache entries."""

    def __init__(
        self, service: Service, name: str, dataset: Dataset, *, mirror: Mirror, tiers: Tiers, connections: Connections
    ) -> None:
        self._service = service
        self._name = name
        self._dataset = dataset
        self._mirror = mirror
        self._tiers = tiers
        self._connections = connections
        self._conversion = Conversion(dataset)

    async def get(self, key: str, caller: Caller) -> Answer:
        parsed = parse_key(self._dataset, key)
        await self._ready()
        return await self._tiers.read(
            f"get {key}", lambda: self._one(parsed), tag=self._name, freshness=self._service.freshness, caller=caller
        )

    async def _ready(self) -> None:
        if not self._tiers.is_known(self._name):
            self._tiers.announce(self._name, await self._mirror.version(self._name))

    async def _one(self, key: Mapping[str, Value]) -> Kept:
        row = await self._mirror.get(self._name, list(key.values()))
        if row is not None:
            return kept_row(row)
        if self._service.source_reads:
            return await self._from_source(key)
        raise NotFound(f"no record {'~'.join(map(str, key.values()))}")

    async def _from_source(self, key: Mapping[str, Value]) -> Kept:
        connection = self._connections(self._name.partition(".")[0])
        observed_ms = epoch_ms()
        rows = await connection.fetch(self._dataset, key) if isinstance(connection, Lookup) else None
        if rows is None or not rows.rows:
            raise NotFound(f"no record {'~'.join(map(str, key.values()))}")
        converted = self._conversion.rows(rows)
        if not converted.rows:
            raise InvalidInput(f"the source's record can't be read: {converted.bad[0].reason}", code="bad_source_record")
        record = dict(zip(self._dataset.columns, converted.rows[0], strict=True))
        return Kept(_ENCODER.encode(record), observed_ms, "source")

    async def query(self, filters: Sequence[tuple[str, str]], *, limit: int, cursor: str | None, caller: Caller) -> Answer:
        if limit > self._service.max_limit:
            raise InvalidInput(f"limit: at most {self._service.max_limit}, got {limit}")
        wanted = parse_filters(self._dataset, self._service.filters, filters)
        after = parse_page_cursor(self._dataset, cursor) if cursor else None
        await self._ready()
        key = _ENCODER.encode(["query", sorted(wanted.items()), limit, after]).decode()
        return await self._tiers.read(
            key, lambda: self._page(wanted, limit, after), tag=self._name, freshness=self._service.freshness, caller=caller
        )

    async def _page(self, wanted: Mapping[str, Value], limit: int, after: Sequence[Value] | None) -> Kept:
        # One more than asked tells whether there is a next page.
        rows = await self._mirror.query(self._name, wanted, limit=limit + 1, after=after)
        has_more = len(rows) > limit
        rows = rows[:limit]
        following = page_cursor(self._dataset, rows[-1].record) if has_more else None
        body = _ENCODER.encode({"data": [row.record for row in rows], "next_cursor": following})
        oldest_ms = min((row.observed_ms for row in rows), default=epoch_ms())
        return Kept(body, oldest_ms, "db", next_cursor=following)

    async def write(self, write: Write, caller: Caller) -> Answer:
        raise InvalidInput("this service is read-only", code="read_only")

    async def changes(self, *, since: int, limit: int, wait_s: float, caller: Caller) -> Answer:
        until = min(time.monotonic() + wait_s, caller.deadline - 1.0)
        rows = await self._mirror.changes(self._name, since=since, limit=limit)
        while not rows and time.monotonic() < until:
            await asyncio.sleep(_POLL_S)
            if await self._mirror.version(self._name) > since:
                rows = await self._mirror.changes(self._name, since=since, limit=limit)
        last = rows[-1].version if rows else since
        items = [{"version": row.version, "deleted": row.deleted, "record": row.record} for row in rows]
        return Answer(_ENCODER.encode({"data": items, "last_version": last}), "db", last_version=last)


def _conforms(service: RecordService) -> DataService:
    return service
