"""What each app has used: counted in the worker, added to the store some seconds later, and read by the app itself at `GET /usage`.

A request is in the store at most `FLUSH_S` after its end; when a worker is killed, what it counted since its last flush is lost.
While the database is down counts wait here, bounded: past MAX_WAITING an app's further routes are counted as `(other)`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import structlog
from msgspec import Struct

from cache.gcra import rate_bound
from core.cache import Limiter, Rate
from core.errors import InvalidInput, PlatformError, Unauthenticated, Unavailable
from core.stores import Usage, UsageRow
from gateway.limits import paced
from gateway.quota import Quota
from gateway.record import CLASSES, IN, LIMITED, OTHER, OUT, Row
from gateway.stage import Request, Response

FLUSH_S = 5.0
KEPT_DAYS = 400
MAX_WAITING = 50_000
MAX_DAYS = 400
ASKING = rate_bound(Rate(10.0, 100))
"""How often an app may ask, each worker: a pace of its own, so that it can read that its plan is used up."""
_HOUR_MS = 3_600_000
_TRIM_EVERY_S = 3600.0
_BATCH = 5000
_log = structlog.get_logger("gateway.usage")
By = Literal["hour", "day"]
Key = tuple[str, str, int]


class UsageMeter:
    """One for each worker. `add` is called by the recorder, `keep` is a loop, `flush` once more when requests have ended."""

    def __init__(
        self,
        store: Usage,
        fold: Callable[[], None],
        *,
        drops: Callable[[int], None] = lambda count: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._fold = fold
        self._store = store
        self._drops = drops
        self._wall = wall
        self._waiting: dict[Key, list[int]] = {}
        self._is_failing = False

    def add(self, app: str, route: str, row: Row) -> None:
        hour_ms = int(self._wall() // 3600) * _HOUR_MS
        self._put((app, route, hour_ms), [sum(row[:CLASSES]), row[5], row[LIMITED], row[IN], row[OUT]])

    def _put(self, key: Key, amounts: list[int]) -> None:
        known = self._waiting.get(key)
        if known is None and len(self._waiting) >= MAX_WAITING:
            key = (key[0], OTHER, key[2])
            known = self._waiting.get(key)
            if known is None and len(self._waiting) >= 2 * MAX_WAITING:
                self._drops(amounts[0])
                return
        self._waiting[key] = amounts if known is None else [one + two for one, two in zip(known, amounts, strict=True)]

    async def keep(self) -> None:
        """Flush until cancelled, and forget what is too old."""
        trimmed = float("-inf")
        while True:
            await asyncio.sleep(FLUSH_S)
            if await self.flush() and time.monotonic() - trimmed > _TRIM_EVERY_S:
                trimmed = time.monotonic()
                await self._trim()

    async def flush(self) -> bool:
        """Everything counted so far into the store; whether it is there. What could not be stored waits for the next time."""
        self._fold()
        waiting, self._waiting = self._waiting, {}
        keys = list(waiting)
        while keys:
            batch, keys = keys[:_BATCH], keys[_BATCH:]
            try:
                await self._store.add([UsageRow(*key, *waiting[key]) for key in batch])
            except PlatformError as error:
                self._failed(error)
                for key in (*batch, *keys):
                    self._put(key, waiting[key])
                return False
            except asyncio.CancelledError:  # whether the batch was stored is not known: it is counted twice rather than not at all
                for key in (*batch, *keys):
                    self._put(key, waiting[key])
                raise
        self._is_failing = False
        return True

    def _failed(self, error: PlatformError) -> None:
        if not self._is_failing:
            _log.warning("usage can't be stored and waits", detail=error.detail)
        self._is_failing = True

    async def _trim(self) -> None:
        try:
            await self._store.trim(older_than_ms=int((self._wall() - KEPT_DAYS * 86_400) * 1000))
        except PlatformError as error:
            self._failed(error)


class Span(Struct, frozen=True):
    """A time that is asked about; `until` is not part of it."""

    since: datetime
    until: datetime
    by: By


class UsageItem(Struct, frozen=True):
    """One hour or day (UTC) of one route or service."""

    start: datetime
    route: str
    requests: int
    errors: int
    limited: int
    bytes_in: int
    bytes_out: int


class UsageReport(Struct, frozen=True, omit_defaults=True):
    """`from` is rounded down to the hour or day. `quota` is what is left of the plan; absent where the gateway
    can't know it now."""

    app: str
    by: By
    since: datetime = msgspec.field(name="from")
    until: datetime = msgspec.field(name="to")
    items: list[UsageItem]
    quota: Quota | None = None


def span_of(since: str, until: str, by: str, *, now: datetime) -> Span:
    """`from`, `to` and `by` as they were asked: dates or RFC 3339 times, empty for the last 24 hours (by hour) or 30 days (by day).
    Raises InvalidInput that names the parameter."""
    if by not in ("hour", "day"):
        raise InvalidInput("by: expected hour or day")
    end = _moment("to", until) if until else now
    begin = _moment("from", since) if since else end - (timedelta(hours=24) if by == "hour" else timedelta(days=30))
    begin = begin.replace(minute=0, second=0, microsecond=0)
    if by == "day":
        begin = begin.replace(hour=0)
    if begin >= end:
        raise InvalidInput("from: expected a time before that of to")
    if end - begin > timedelta(days=MAX_DAYS):
        raise InvalidInput(f"from: at most {MAX_DAYS} days can be asked for at once")
    return Span(begin, end, "day" if by == "day" else "hour")


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name}: expected a date such as 2026-11-25, or a time such as 2026-11-25T08:00:00Z") from None


async def report_of(store: Usage, app: str, span: Span) -> UsageReport:
    """What an app used. Raises what the store raises."""
    rows = await store.read(app, since_ms=_ms(span.since), until_ms=_ms(span.until))
    return UsageReport(app=app, by=span.by, since=span.since, until=span.until, items=_items(rows, span.by))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _items(rows: Iterable[UsageRow], by: By) -> list[UsageItem]:
    length_ms = _HOUR_MS if by == "hour" else 24 * _HOUR_MS
    sums: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        amounts = [row.requests, row.errors, row.limited, row.bytes_in, row.bytes_out]
        key = (row.hour_ms // length_ms * length_ms, row.route)
        sums[key] = [one + two for one, two in zip(sums.get(key, [0] * 5), amounts, strict=True)]
    return [UsageItem(datetime.fromtimestamp(start / 1000, UTC), route, *sums[start, route]) for start, route in sorted(sums)]


class UsageEndpoint:
    """`GET /usage?from=&to=&by=hour|day`: an app reads its own usage. Behind authenticate; needs no scope, and is charged to no
    plan: `pace` counts ASKING in its place."""

    def __init__(
        self,
        store: Usage,
        *,
        quota: Callable[[str], Awaitable[Quota]] | None = None,
        pace: Limiter | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._quota = quota
        self._pace = pace
        self._now = now

    async def __call__(self, request: Request) -> Response:
        if request.identity is None:
            raise Unauthenticated("this request needs a token")
        app = request.identity.app
        if self._pace is not None:
            await paced(self._pace, f"usage:{app}", ASKING, "an app may ask for its usage 10 times a second, 100 at once")
        asked = _asked(request.query)
        span = span_of(asked.get("from", ""), asked.get("to", ""), asked.get("by", "hour"), now=self._now())
        report = await report_of(self._store, app, span)
        if self._quota is not None:
            try:
                report = msgspec.structs.replace(report, quota=await self._quota(app))
            except Unavailable:
                _log.debug("the quota can't be asked")  # the usage is worth telling without it
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        return Response(200, headers, msgspec.json.encode(report))


def _asked(query: list[tuple[str, str]]) -> dict[str, str]:
    asked = dict(query)
    unknown = sorted(set(asked) - {"from", "to", "by"})
    if unknown or len(asked) < len(query):
        raise InvalidInput(f"{unknown[0] or 'query'}: expected from, to and by" if unknown else "from, to and by may be given once")
    return asked
