"""Time as a value that is handed in, so that limits, breakers and schedules can be tested as scripts."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Implementations must not block."""

    def now(self) -> datetime:
        """The wall clock, UTC, for what is stored or shown."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


_conforms: Clock = SystemClock()


def iso(moment: datetime) -> str:
    """UTC as `2024-05-10T08:30:00.123Z`, milliseconds: one form in every answer, event and log line."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms() -> int:
    """Milliseconds since 1970, UTC: the stamp of changes and bus messages."""
    return time.time_ns() // 1_000_000
