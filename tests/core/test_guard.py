"""The breaker as scripts of events and decisions; no clock runs."""

from core.guard import Breaker


def breaker() -> Breaker:
    return Breaker(failures=3, open_s=10.0)


def opened(at: float = 2.0) -> Breaker:
    made = breaker()
    for _ in range(3):
        assert made.admit(at) is None
        made.failed(at, at, "connection refused")
    return made


def test_it_stays_closed_below_the_limit_and_a_success_starts_the_count_again() -> None:
    made = breaker()
    for _ in range(5):
        made.failed(0.0, 0.0, "slow")
        made.failed(0.0, 0.0, "slow")
        made.succeeded(0.0)
    assert made.state(1.0) == "closed"
    assert made.admit(1.0) is None


def test_failures_in_a_row_open_it_and_the_refusal_says_since_when_and_why() -> None:
    made = opened(at=2.0)
    refusal = made.admit(5.0)
    assert refusal is not None
    assert (refusal.for_s, refusal.retry_after_s, refusal.cause) == (3.0, 7.0, "connection refused")
    assert made.state(5.0) == "open"


def test_after_open_s_one_trial_goes_and_others_wait_for_its_result() -> None:
    made = opened(at=2.0)
    assert made.refusal(12.0) is None  # asking does not take the trial
    assert made.admit(12.0) is None
    assert made.state(12.1) == "half_open"
    assert made.admit(12.1) is not None
    made.succeeded(12.0)
    assert made.state(12.2) == "closed"


def test_a_failed_trial_opens_it_for_another_period_with_the_new_cause() -> None:
    made = opened(at=2.0)
    assert made.admit(12.0) is None
    made.failed(12.0, 13.0, "still down")
    refusal = made.admit(22.9)
    assert refusal is not None
    assert refusal.cause == "still down"
    assert made.admit(23.0) is None


def test_an_abandoned_trial_lets_another_one_go() -> None:
    made = opened(at=2.0)
    assert made.admit(12.0) is None
    made.abandoned(12.0)
    assert made.state(12.5) == "half_open"
    assert made.admit(12.5) is None


def test_results_of_calls_admitted_before_it_opened_change_nothing() -> None:
    made = opened(at=2.0)
    made.succeeded(1.0)
    assert made.state(3.0) == "open"
    made.failed(1.0, 9.0, "late")
    assert made.refusal(12.0) is None  # the period did not start anew
