"""The replay store in process: bounded, and never forgetful."""

import pytest

from cache.replays_memory import MemoryReplays
from core.cache import Replays
from core.errors import Limited
from tests.conformance.replays_suite import ReplaysConformance


@pytest.fixture
def replays() -> Replays:
    return MemoryReplays()


class TestMemoryReplays(ReplaysConformance):
    pass


def test_full_it_refuses_what_is_new_until_the_oldest_is_due_and_forgets_nothing_early() -> None:
    now = 1_000.0
    replays = MemoryReplays(max_entries=100, clock=lambda: now)
    for number in range(100):
        assert replays.is_new(f"nonce {number}", 10.0 if number < 40 else 20.0)
    with pytest.raises(Limited) as refused:
        replays.is_new("one more", 10.0)
    assert refused.value.specific_code == "replays_full"
    assert refused.value.retry_after_s == 10.0
    assert not replays.is_new("nonce 0", 10.0)  # what it knows it still tells
    now = 1_009.9
    with pytest.raises(Limited):
        replays.is_new("one more", 10.0)
    now = 1_010.0
    assert replays.is_new("one more", 10.0)
    assert len(replays) == 61
    assert not replays.is_new("nonce 99", 10.0)


def test_a_key_is_forgotten_at_most_a_second_late() -> None:
    now = 0.5
    replays = MemoryReplays(clock=lambda: now)
    assert replays.is_new("nonce", 10.0)
    now = 10.49
    assert not replays.is_new("nonce", 10.0)
    now = 11.5
    assert replays.is_new("nonce", 10.0)


def test_a_long_silence_leaves_nothing_behind() -> None:
    now = 0.0
    replays = MemoryReplays(clock=lambda: now)
    for number in range(2_000):
        now = number * 0.1
        replays.is_new(f"nonce {number}", 300.0)
    assert len(replays) == 2_000
    now = 1_000_000.0
    replays.is_new("later", 300.0)
    assert len(replays) == 1
