"""Ejection after failures, and what probes say. Scripts with times."""

from config.upstreams import ActiveHealth, Endpoint, PassiveHealth
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.health import MAX_GROWTH, Health, usable


def group(count: int) -> list[EndpointState]:
    return [EndpointState(Endpoint(f"http://{chr(97 + n)}:80")) for n in range(count)]


def names(endpoints: list[EndpointState]) -> str:
    return "".join(each.host for each in usable(endpoints))


def test_each_ejection_after_a_failed_return_is_longer_until_a_request_succeeds() -> None:
    among = group(3)
    health = Health(PassiveHealth(failures=2, eject_s=10), None)
    a = among[0]
    assert not health.failed(a, among, 0)
    assert health.failed(a, among, 0)
    assert names(among) == "bc"
    health.returned(among, 9.9)
    assert names(among) == "bc"
    health.returned(among, 10)
    assert names(among) == "abc"
    assert health.failed(a, among, 10)  # one is enough after a return
    health.returned(among, 29.9)
    assert names(among) == "bc"
    health.returned(among, 30)
    health.succeeded(a)
    assert not health.failed(a, among, 31)  # all is forgiven
    assert health.failed(a, among, 31)
    assert a.ejected_until == 41


def test_an_ejection_does_not_grow_for_ever() -> None:
    among = group(3)
    health = Health(PassiveHealth(failures=1, eject_s=10), None)
    for _ in range(50):
        health.failed(among[0], among, 0)
        health.returned(among, 1e9)
    assert among[0].ejected_until == 10 * MAX_GROWTH


def test_no_more_than_the_share_is_ejected() -> None:
    among = group(5)
    health = Health(PassiveHealth(failures=1, max_ejected=0.5), None)
    assert [health.failed(each, among, 0) for each in among] == [True, True, False, False, False]
    alone = group(1)
    assert not health.failed(alone[0], alone, 0)
    assert names(alone) == "a"


def test_a_late_success_does_not_end_an_ejection() -> None:
    among = group(3)
    health = Health(PassiveHealth(failures=1, eject_s=10), None)
    health.failed(among[0], among, 0)
    health.succeeded(among[0])
    assert names(among) == "bc"
    assert not health.failed(among[0], among, 1)  # nor does a late failure make it longer
    assert among[0].ejected_until == 10


def test_where_all_that_are_up_are_ejected_they_are_used_all_the_same() -> None:
    among = group(2)
    health = Health(PassiveHealth(failures=1, max_ejected=1), ActiveHealth(unhealthy=1))
    health.failed(among[0], among, 0)
    assert names(among) == "b"
    health.failed(among[1], among, 0)
    assert names(among) == "ab"
    health.probed(among[1], None)
    assert names(among) == "a"


def test_probes_in_a_row_decide() -> None:
    among = group(2)
    health = Health(None, ActiveHealth(healthy=2, unhealthy=3, statuses=(200,)))
    a = among[0]
    assert [health.probed(a, status) for status in (None, 500, 200, 204, None)] == [False] * 5
    assert health.probed(a, 503)
    assert names(among) == "b"
    assert [health.probed(a, status) for status in (200, 404, 200)] == [False] * 3
    assert health.probed(a, 200)
    assert names(among) == "ab"


def test_all_down_means_none_is_usable() -> None:
    among = group(1)
    health = Health(None, ActiveHealth(unhealthy=1))
    health.probed(among[0], None)
    assert usable(among) == []


def test_what_is_switched_off_says_nothing() -> None:
    among = group(3)
    health = Health(None, None)
    assert not any(health.failed(among[0], among, 0) for _ in range(100))
    assert not any(health.probed(among[0], None) for _ in range(100))
    assert names(among) == "abc"


def test_weight_zero_drains() -> None:
    among = [EndpointState(Endpoint("http://a:80", weight=0)), *group(2)[1:]]
    assert names(among) == "b"
