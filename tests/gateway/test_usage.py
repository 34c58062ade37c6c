"""Usage on its way from a recorder through the meter to a real database, and what an app reads of it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cache.limiter_memory import MemoryLimiter
from core.errors import InvalidInput, Limited, NotConnected, Unauthenticated, Unavailable
from core.stores import UsageRow
from gateway import usage as module
from gateway.identity import Identity
from gateway.quota import Allowance, Quota
from gateway.record import OTHER, WIDTH, Recorder
from gateway.usage import UsageEndpoint, UsageMeter, report_of, span_of
from storage.sqlite import open_sqlite
from storage.usage import SqlUsage
from tests.gateway.desk import request_of
from tests.gateway.observed import ended

NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
HOUR_MS = 3_600_000


class Shaky(SqlUsage):
    """A real store that can be made to fail."""

    is_down = False

    async def add(self, rows: Any) -> None:
        if self.is_down:
            raise Unavailable("the database is away")
        await super().add(rows)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Shaky]:
    database = await open_sqlite(tmp_path / "platform.db")
    made = Shaky(database)
    await made.prepare()
    yield made
    await database.close()


def metered(store: SqlUsage, **more: Any) -> tuple[Recorder, UsageMeter]:
    recorder = Recorder()
    meter = recorder.usage = UsageMeter(store, recorder.fold, wall=NOW.timestamp, **more)
    return recorder, meter


async def rows_of(store: SqlUsage, app: str = "shop") -> list[UsageRow]:
    return await store.read(app, since_ms=0, until_ms=1 << 50)


@pytest.mark.req("0.40")
async def test_what_was_counted_is_in_the_database_after_a_flush(store: Shaky) -> None:
    recorder, meter = metered(store)
    for request in (ended(), ended(status=429, code="rate_limited"), ended(status=502), ended(app=None), ended(app="desk")):
        recorder.on_end(request)
    assert await meter.flush()
    recorder.on_end(ended())
    assert await meter.flush()
    hour_ms = int(NOW.timestamp() * 1000) // HOUR_MS * HOUR_MS
    assert await rows_of(store) == [UsageRow("shop", "customers", hour_ms, 4, 1, 1, 40, 400)]
    assert [row.requests for row in await rows_of(store, "desk")] == [1]


async def test_a_database_that_is_away_loses_nothing(store: Shaky) -> None:
    recorder, meter = metered(store)
    store.is_down = True
    for _ in range(3):
        recorder.on_end(ended())
        assert not await meter.flush()
    store.is_down = False
    assert await meter.flush()
    assert [row.requests for row in await rows_of(store)] == [3]


async def test_what_waits_is_bounded(store: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    drops: list[int] = []
    _, meter = metered(store, drops=drops.append)
    row = [0] * WIDTH
    row[2] = 1
    for number in range(30):
        meter.add("shop", f"route-{number}", row)
    for number in range(30):
        meter.add(f"app-{number}", "goods", row)
    assert await meter.flush()
    found = {each.route: each.requests for each in await rows_of(store)}
    assert (len(found), found[OTHER]) == (11, 20)
    assert sum(drops) == 30 - 9


async def test_more_than_one_batch_is_stored(store: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)
    recorder, meter = metered(store)
    for number in range(10):
        recorder.on_end(ended(route=f"route-{number}"))
    assert await meter.flush()
    assert len(await rows_of(store)) == 10


async def test_the_loop_flushes_and_forgets_what_is_too_old(store: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    old_ms = int((NOW - timedelta(days=module.KEPT_DAYS, hours=1)).timestamp() * 1000)
    await store.add([UsageRow("shop", "old", old_ms, 1)])
    recorder, meter = metered(store)
    recorder.on_end(ended())
    loop = asyncio.ensure_future(meter.keep())
    async with asyncio.timeout(60):
        while [row.route for row in await rows_of(store)] != ["customers"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    recorder.on_end(ended())
    assert await meter.flush()
    assert [(row.route, row.requests) for row in await rows_of(store)] == [("customers", 2)]


@pytest.mark.parametrize(
    ("asked", "since", "until"),
    [
        (("", "", "hour"), datetime(2026, 11, 24, 8, tzinfo=UTC), NOW),
        (("", "", "day"), datetime(2026, 10, 26, tzinfo=UTC), NOW),
        (("2026-11-01", "2026-11-03", "day"), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)),
        (("2026-11-01T08:59:59+08:00", "", "hour"), datetime(2026, 11, 1, 0, tzinfo=UTC), NOW),
    ],
)
def test_the_time_that_is_asked_for(asked: tuple[str, str, str], since: datetime, until: datetime) -> None:
    span = span_of(*asked, now=NOW)
    assert (span.since, span.until, span.by) == (since, until, asked[2])


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (("yesterday", "", "hour"), "from: expected a date"),
        (("", "2026-13-01", "hour"), "to: expected a date"),
        (("", "", "minute"), "by: expected hour or day"),
        (("2026-11-26", "2026-11-25", "hour"), "from: expected a time before"),
        (("2020-01-01", "", "hour"), "at most 400 days"),
        (("0001-01-01T00:00:00+14:00", "", "hour"), "from: expected a date"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_by_name(asked: tuple[str, str, str], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        span_of(*asked, now=NOW)


async def test_an_app_reads_its_own_usage_only(store: Shaky) -> None:
    hour_ms = int(NOW.timestamp() * 1000) // HOUR_MS * HOUR_MS
    await store.add([UsageRow(app, "goods", hour_ms - n * HOUR_MS, 2, 1, 0, 3, 4) for app in ("shop", "desk") for n in range(3)])

    async def quota(app: str) -> Quota:
        return Quota("gold", day=Allowance(9, 2, 7, NOW))

    endpoint = UsageEndpoint(store, quota=quota, now=lambda: NOW)
    answer = await endpoint(_asking("/usage?by=day"))
    body = msgspec.json.decode(answer.body)
    assert (answer.header("cache-control"), body["app"], body["quota"]["plan"]) == ("no-store", "shop", "gold")
    assert body["quota"]["day"] == {"limit": 9, "used": 2, "remaining": 7, "resets_at": "2026-11-25T08:30:00Z"}
    assert body["items"] == [
        {
            "start": "2026-11-25T00:00:00Z",
            "route": "goods",
            "requests": 6,
            "errors": 3,
            "limited": 0,
            "bytes_in": 9,
            "bytes_out": 12,
        }
    ]
    by_hour = msgspec.json.decode((await endpoint(_asking("/usage?from=2026-11-25T07:00:00Z"))).body)
    assert [item["start"] for item in by_hour["items"]] == ["2026-11-25T07:00:00Z", "2026-11-25T08:00:00Z"]


def _asking(target: str, app: str | None = "shop") -> Any:
    request = request_of("GET", target)
    request.identity = Identity(app, "ak_1") if app else None
    return request


async def test_what_can_not_be_told_is_refused(store: Shaky) -> None:
    async def quota(app: str) -> Any:
        raise NotConnected("no Redis") if app == "odd" else Unavailable("no Redis")

    endpoint = UsageEndpoint(store, quota=quota, now=lambda: NOW)
    for target, text in (
        ("/usage?app=desk", "app: expected"),
        ("/usage?by=day&by=hour", "given once"),
        ("/usage?%zz=%ff", "expected"),
    ):
        with pytest.raises(InvalidInput, match=text):
            await endpoint(_asking(target))
    with pytest.raises(Unauthenticated):
        await endpoint(_asking("/usage", app=None))
    body = msgspec.json.decode((await endpoint(_asking("/usage"))).body)
    assert "quota" not in body


async def test_an_app_that_asks_too_often_is_slowed_down_by_itself(store: Shaky) -> None:
    endpoint = UsageEndpoint(store, pace=MemoryLimiter(), now=lambda: NOW)

    async def ask(times: int) -> None:
        for _ in range(times):
            await endpoint(_asking("/usage"))

    await ask(100)
    with pytest.raises(Limited, match="10 times a second, 100 at once") as refused:
        await ask(100)
    assert 0 < refused.value.retry_after_s <= 0.1
    await endpoint(_asking("/usage", app="desk"))


async def test_days_are_summed_over_their_hours(store: Shaky) -> None:
    start_ms = int(datetime(2026, 11, 24, 23, tzinfo=UTC).timestamp() * 1000)
    await store.add([UsageRow("shop", "goods", start_ms + n * HOUR_MS, 1) for n in range(3)])
    report = await report_of(store, "shop", span_of("2026-11-24", "", "day", now=NOW))
    assert [(item.start.day, item.requests) for item in report.items] == [(24, 1), (25, 2)]


@pytest.mark.slow
async def test_a_worker_that_is_killed_loses_no_more_than_since_its_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateway.usage_until_killed", str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    told = [int(await process.stdout.readline()) for _ in range(5)]
    process.kill()
    told += [int(line) for line in (await process.stdout.read()).split()]
    await process.wait()
    database = await open_sqlite(path)
    stored = sum(row.requests for row in await rows_of(SqlUsage(database)))
    await database.close()
    assert told[-1] <= stored <= told[-1] + 100, "a flush that was done but not yet told may be there too"
