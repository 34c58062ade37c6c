"""Sense of single values that a type can't judge: schedules, time zones, networks. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from config.model import Schedule
from config.problem import Path, Problem, suggestion

_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def address_problems(addresses: Sequence[str], path: Path) -> Iterator[Problem]:
    """Each entry is an IPv4 or IPv6 network in CIDR form, or a single address."""
    for index, address in enumerate(addresses):
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            text = f"'{address}' is not a network such as 10.2.0.0/16 or 2001:db8::/32: {error}"
            yield Problem((*path, str(index)), text)


def schedule_problems(schedule: Schedule, path: Path) -> Iterator[Problem]:
    """Exactly one of the three ways, a cron line that comes round, a time zone that exists."""
    ways = [
        name
        for name, is_given in (
            ("every_s", schedule.every_s is not None),
            ("cron", schedule.cron is not None),
            ("once", schedule.once),
        )
        if is_given
    ]
    if len(ways) != 1:
        found = f"has {' and '.join(ways)}" if ways else "has none"
        yield Problem(path, f"needs exactly one of every_s, cron and once; it {found}")
    if schedule.cron is not None and (reason := _cron_error(schedule.cron)):
        text = f"'{schedule.cron}' is not a cron line of five fields (minute hour day month weekday): {reason}"
        yield Problem((*path, "cron"), text)
    if not _is_timezone(schedule.timezone):
        near = suggestion(schedule.timezone, available_timezones())
        hint = near if "did you mean" in near else "; such as Asia/Shanghai or UTC"
        yield Problem((*path, "timezone"), f"unknown time zone '{schedule.timezone}'{hint}")


def _cron_error(cron: str) -> str | None:
    if len(cron.split()) != 5:  # cronsim takes six as well, with seconds
        return f"it has {len(cron.split())} fields"
    try:
        next(CronSim(cron, _ANY_DAY))
    except CronSimError as error:
        return str(error) or "bad value"
    except StopIteration:
        return "it never comes"
    return None


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
