"""When a job is due: scripts of times and decisions."""

from datetime import UTC, datetime, timedelta

import pytest

from config.model import Schedule
from exchange.schedule import next_due

NOW = datetime(2024, 5, 10, 8, 30, tzinfo=UTC)


def due(schedule: Schedule, *, last: datetime | None = None, has_succeeded: bool = False) -> datetime | None:
    return next_due(schedule, now=NOW, last_start=last, has_succeeded=has_succeeded)


def test_once_is_now_until_it_has_succeeded() -> None:
    assert due(Schedule(once=True)) == NOW
    assert due(Schedule(once=True), last=NOW - timedelta(days=1)) == NOW
    assert due(Schedule(once=True), last=NOW, has_succeeded=True) is None


def test_an_interval_counts_from_the_last_start() -> None:
    assert due(Schedule(every_s=60)) == NOW
    assert due(Schedule(every_s=60), last=NOW - timedelta(seconds=20)) == NOW + timedelta(seconds=40)
    assert due(Schedule(every_s=60), last=NOW - timedelta(hours=5)) == NOW


@pytest.mark.req("2.04")
def test_daily_at_23_is_meant_in_the_schedules_zone() -> None:
    daily = Schedule(cron="0 23 * * *", timezone="Asia/Shanghai")
    assert due(daily) == datetime(2024, 5, 10, 15, 0, tzinfo=UTC)
    assert due(daily, last=datetime(2024, 5, 9, 15, 0, tzinfo=UTC)) == datetime(2024, 5, 10, 15, 0, tzinfo=UTC)


def test_a_time_that_passed_while_nobody_ran_is_made_up_for_once() -> None:
    assert due(Schedule(cron="0 23 * * *"), last=NOW - timedelta(days=5)) == NOW
