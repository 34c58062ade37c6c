"""When a message goes out again: a script of failures under a clock of its own."""

from config.webhooks import Webhook
from core.secret import Secret
from exchange.webhook_retries import Again, GiveUp, after_failure

_HOOK = Webhook("https://a/", (Secret("x" * 24),), ("s",), "app", retry_s=100.0, first_delay_s=5.0, max_delay_s=30.0)


def _step(attempts: int, now_ms: int, *, retry_after_s: float | None = None, chance: float = 0.0) -> Again | GiveUp:
    return after_failure(_HOOK, since_ms=0, attempts=attempts, now_ms=now_ms, retry_after_s=retry_after_s, chance=chance)


def test_delays_double_up_to_the_longest_and_the_last_attempt_is_at_the_end() -> None:
    now_ms, moments = 0, []
    for attempt in range(1, 20):
        step = _step(attempt, now_ms)
        if isinstance(step, GiveUp):
            break
        now_ms = step.due_ms
        moments.append(now_ms // 1000)
    assert moments == [5, 15, 35, 65, 95, 100]


def test_jitter_takes_away_up_to_half() -> None:
    assert _step(1, 0, chance=1.0) == Again(2_500)
    assert _step(1, 0, chance=0.5) == Again(3_750)


def test_retry_after_is_waited_for_and_gives_up_where_it_is_behind_the_end() -> None:
    assert _step(1, 0, retry_after_s=60.0) == Again(60_000)
    assert _step(1, 0, retry_after_s=1.0) == Again(5_000)
    assert _step(1, 50_000, retry_after_s=50.0) == Again(100_000)
    assert _step(1, 50_000, retry_after_s=50.1) == GiveUp()


def test_many_attempts_overflow_nothing() -> None:
    assert _step(1_000_000, 10_000) == Again(40_000)
