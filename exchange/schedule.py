"""When a job is due next. Pure: the clock's time is handed in (requirements 2.04, 2.11)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from config.model import Schedule


def next_due(schedule: Schedule, *, now: datetime, last_start: datetime | None, has_succeeded: bool) -> datetime | None:
    """The moment (UTC) of the next run; None: never again by itself.

    Interval: at once the first time, then `every_s` after the last start. Once: at once until it has succeeded. Cron: the next
    time after the last start; a time that passed while the platform was down is made up for once.
    """
    if schedule.once:
        return None if has_succeeded else now
    if schedule.every_s is not None:
        return now if last_start is None else max(now, last_start + timedelta(seconds=schedule.every_s))
    if schedule.cron is None:
        return None
    zone = ZoneInfo(schedule.timezone)
    since = (last_start or now).astimezone(zone)
    due: datetime = next(CronSim(schedule.cron, since))
    return max(now, due.astimezone(UTC))
