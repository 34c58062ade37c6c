"""How long a service asks to be left alone: the field Retry-After (RFC 9110 §10.2.3). Pure: the time is handed in."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_S = 7 * 86_400.0


def retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds from now, a week at most, of a field given as seconds or as a date; None where it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), _LONGEST_S)
