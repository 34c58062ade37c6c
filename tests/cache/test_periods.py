"""Days and months in UTC."""

from datetime import UTC, datetime

import pytest

from cache.periods import Periods


def _at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("now", "day_ends", "month_ends"),
    [
        (_at(2026, 1, 31, 23, 59, 59), _at(2026, 2, 1), _at(2026, 2, 1)),
        (_at(2026, 2, 1), _at(2026, 2, 2), _at(2026, 3, 1)),
        (_at(2028, 2, 28, 12), _at(2028, 2, 29), _at(2028, 3, 1)),
        (_at(2026, 12, 31), _at(2027, 1, 1), _at(2027, 1, 1)),
    ],
)
def test_when_they_end(now: float, day_ends: float, month_ends: float) -> None:
    periods = Periods().at(now)
    assert (periods.of("day")[1], periods.of("month")[1]) == (day_ends, month_ends)


def test_each_month_and_day_has_its_own_number_and_a_clock_that_runs_back_stays() -> None:
    periods = Periods()
    months = [periods.at(_at(2025 + month // 12, month % 12 + 1, 1)).of("month")[0] for month in range(30)]
    assert months == list(range(months[0], months[0] + 30))
    day = periods.of("day")
    assert periods.at(_at(2020, 1, 1)).of("day") == day
