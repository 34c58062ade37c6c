"""When a webhook's message that was not taken goes out again, and when it is given up. Pure: time and chance handed in."""

from msgspec import Struct

from config.webhooks import Webhook


class Again(Struct, frozen=True):
    """At `due_ms` (epoch)."""

    due_ms: int


class GiveUp(Struct, frozen=True):
    """Its span is over."""


def after_failure(
    webhook: Webhook, *, since_ms: int, attempts: int, now_ms: int, retry_after_s: float | None, chance: float
) -> Again | GiveUp:
    """The step after attempt number `attempts`, of a message that has waited since `since_ms`.

    The delay doubles from `first_delay_s` up to `max_delay_s`, and jitter (`chance` in 0…1) takes away up to half of it, so that
    receivers that come back are not met by all at once. The receiver's Retry-After (RFC 9110 §10.2.3) is waited for at least. What
    would come behind the end of the span comes at its end, once; but never before Retry-After.
    """
    end_ms = since_ms + round(webhook.retry_s * 1000)
    if now_ms >= end_ms:
        return GiveUp()
    delay_s = min(webhook.first_delay_s * 2.0 ** min(attempts - 1, 60), webhook.max_delay_s) * (1 - chance / 2)
    earliest_ms = now_ms + round((retry_after_s or 0.0) * 1000)
    if earliest_ms > end_ms:
        return GiveUp()
    return Again(max(earliest_ms, min(now_ms + round(delay_s * 1000), end_ms)))
