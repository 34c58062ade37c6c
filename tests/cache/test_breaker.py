"""The breaker as a script of moments."""

from cache.breaker import Breaker


def test_a_failure_pauses_then_one_may_try_and_success_closes() -> None:
    breaker = Breaker(pause_s=1.0)
    assert breaker.may_try(0.0)
    breaker.failed(0.0)
    assert not breaker.may_try(0.99)
    assert breaker.may_try(1.0)
    assert not breaker.may_try(1.0)  # the first is still trying
    breaker.failed(1.2)
    assert not breaker.may_try(2.1)
    assert breaker.may_try(2.2)
    breaker.succeeded()
    assert breaker.may_try(2.2)
    assert breaker.may_try(2.2)
