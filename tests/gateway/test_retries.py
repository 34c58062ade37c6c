"""Where trying again is safe, and how much of it there may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.upstreams import Retries
from gateway.http1.message import made_request
from gateway.upstream.retries import Budget, is_safe


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "BREW"])
def test_what_was_never_sent_may_always_be_sent(method: str) -> None:
    assert is_safe(made_request(method, "/"), "connect", Retries())


@pytest.mark.parametrize("failure", ["closed", "reset", "timeout", "status:503"])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("GET", True),
        ("HEAD", True),
        ("PUT", True),
        ("DELETE", True),
        ("OPTIONS", True),
        ("POST", False),
        ("PATCH", False),
        ("X", False),
    ],
)
def test_what_was_sent_is_sent_again_only_where_that_changes_nothing(method: str, failure: str, expected: bool) -> None:
    assert is_safe(made_request(method, "/"), failure, Retries()) is expected  # RFC 9110 §9.2.2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_idempotency_key_makes_a_write_repeatable(method: str) -> None:
    assert is_safe(made_request(method, "/", headers={"Idempotency-Key": "k1"}), "reset", Retries())


def test_only_the_statuses_that_are_listed() -> None:
    request = made_request("GET", "/")
    assert not is_safe(request, "status:500", Retries())
    assert is_safe(request, "status:500", Retries(statuses=(500,)))
    assert not is_safe(request, "malformed", Retries())


def test_an_upgrade_is_not_repeated_once_it_was_sent() -> None:
    request = made_request("GET", "/chat")
    request.upgrade = b"websocket"
    assert not is_safe(request, "closed", Retries())
    assert is_safe(request, "connect", Retries())


def test_a_share_of_the_requests_of_the_last_ten_seconds() -> None:
    budget = Budget(0.2, 0, 0.0)
    budget.requests += 50
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.take(5.0)  # both fade alike
    budget.requests += 50
    assert [budget.take(5.0) for _ in range(11)] == [True] * 10 + [False]
    budget.requests += 5
    assert [budget.take(1e6) for _ in range(2)] == [False, False]  # what came at a time unknown, long ago, has faded


def test_the_floor_serves_quiet_upstreams() -> None:
    budget = Budget(0, 0.3, 0.0)
    assert [budget.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert not budget.take(1.0)
    assert budget.take(8.0)


@given(st.lists(st.tuples(st.floats(0.001, 3), st.integers(0, 200), st.integers(0, 50)), max_size=60), st.floats(0, 1))
def test_retries_never_outgrow_share_and_floor(steps: list[tuple[float, int, int]], share: float) -> None:
    budget, now, requests, taken = Budget(share, 1.0, 0.0), 0.0, 0, 0
    for pause, arrived, wanted in steps:
        now += pause
        budget.requests += arrived
        requests += arrived
        taken += sum(budget.take(now) for _ in range(wanted))
    assert taken <= share * requests + 1.0 * (10 + now) + 1
