"""Which requests are copied."""

from config.upstreams import Shadow
from gateway.http1.message import made_request
from gateway.upstream.shadow import Shadowing

GET = made_request("GET", "/a")


def test_the_share_is_exact_and_even() -> None:
    shadowing = Shadowing(Shadow("copy", share=30, concurrent=10_000))
    wanted = [shadowing.wants_copy(GET) for _ in range(1000)]
    assert sum(wanted) == 300
    assert all(2 <= sum(wanted[start : start + 10]) <= 4 for start in range(0, 1000, 10))
    assert all(Shadowing(Shadow("copy")).wants_copy(GET) for _ in range(10))


def test_no_more_at_once_than_may_be() -> None:
    shadowing = Shadowing(Shadow("copy", concurrent=2))
    assert [shadowing.wants_copy(GET) for _ in range(4)] == [True, True, False, False]
    assert (shadowing.active, shadowing.left_out) == (2, 2)
    shadowing.copied()
    assert shadowing.wants_copy(GET)


def test_long_and_endless_bodies_and_upgrades_are_left_out() -> None:
    shadowing = Shadowing(Shadow("copy", max_bytes=10))
    assert not shadowing.wants_copy(made_request("POST", "/a", body=b"x" * 11))
    assert shadowing.wants_copy(made_request("POST", "/a", body=b"x" * 10))
    chunked, upgrade = made_request("POST", "/a"), made_request("GET", "/a")
    chunked.body_length, upgrade.upgrade = -1, b"websocket"
    assert not shadowing.wants_copy(chunked)
    assert not shadowing.wants_copy(upgrade)
