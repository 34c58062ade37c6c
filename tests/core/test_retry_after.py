"""Retry-After, as services write it."""

from datetime import UTC, datetime

from core.retry_after import retry_after_s


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("120", now) == 120.0
    assert retry_after_s("Fri, 27 Nov 2026 12:01:00 GMT", now) == 60.0
    assert retry_after_s("Fri, 27 Nov 2026 11:01:00 GMT", now) == 0.0
    assert retry_after_s("99999999999", now) == 7 * 86_400.0
    assert [retry_after_s(text, now) for text in ("", "soon", "-1", "1.5", "１２")] == [None] * 5
