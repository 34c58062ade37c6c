"""What a gateway tells of its traffic."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.traffic import Traffic


def test_quantiles_are_the_upper_edges_of_their_buckets() -> None:
    traffic = Traffic()
    for _ in range(99):
        traffic.observe(200, 0.0009)
    traffic.observe(200, 0.180)
    assert traffic.window(2.0) == (50.0, 1.0, 1.0)
    for _ in range(98):
        traffic.observe(404, 0.0009)
    for _ in range(2):
        traffic.observe(503, 0.180)
    assert traffic.window(1.0) == (100.0, 1.0, 200.0)
    assert (traffic.requests, traffic.errors) == (200, 2)


def test_a_quiet_second_and_one_that_took_for_ever() -> None:
    traffic = Traffic()
    assert traffic.window(1.0) == (0.0, 0.0, 0.0)
    traffic.observe(200, 3600.0)
    assert traffic.window(0.0) == (0.0, 30_000.0, 30_000.0)
    assert traffic.window(1.0) == (0.0, 0.0, 0.0), "each window begins anew"


@given(st.lists(st.floats(min_value=0, max_value=25), min_size=1))
def test_half_of_all_answers_took_no_longer_than_p50(seconds: list[float]) -> None:
    traffic = Traffic()
    for each in seconds:
        traffic.observe(200, each)
    _, p50, p99 = traffic.window(1.0)
    assert sum(each * 1000 <= p50 for each in seconds) >= len(seconds) / 2
    assert sum(each * 1000 <= p99 for each in seconds) >= 0.99 * len(seconds)
    assert p50 <= p99


def test_what_a_recorder_counted_is_taken_in_before_a_window_is_read() -> None:
    traffic = Traffic(lambda: traffic.absorb([0] * 5 + [3] + [0] * 19, 1))
    assert traffic.window(1.0) == (3.0, 1.0, 1.0)
    assert (traffic.requests, traffic.errors) == (3, 1)
