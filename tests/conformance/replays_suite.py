"""What every replay store must do (core.cache.Replays), to be run unchanged against each: sub-class `ReplaysConformance`."""

import asyncio

import pytest

from core.cache import Replays
from core.errors import InvalidInput


async def is_new(replays: Replays, key: str, ttl_s: float = 60.0) -> bool:
    """The answer, whether it comes at once or later."""
    answer = replays.is_new(key, ttl_s)
    return answer if isinstance(answer, bool) else await answer


class ReplaysConformance:
    """The sub-class's module has a fixture `replays`: one that remembers nothing."""

    async def test_the_first_time_is_new_and_the_others_are_not(self, replays: Replays) -> None:
        assert [await is_new(replays, "nonce") for _ in range(3)] == [True, False, False]

    async def test_keys_are_apart(self, replays: Replays) -> None:
        keys = ["a", "b", "A", "a ", "号", "a:b", "a\r\nDEL a", "x" * 300, "\ud800"]
        assert [await is_new(replays, key) for key in keys] == [True] * len(keys)
        assert [await is_new(replays, key) for key in keys] == [False] * len(keys)

    async def test_of_overlapping_questions_for_one_key_one_is_new(self, replays: Replays) -> None:
        answers = await asyncio.gather(*(is_new(replays, f"key {number % 20}") for number in range(1_000)))
        assert sum(answers) == 20
        assert all(answers[:20])

    async def test_it_is_remembered_for_its_time_and_new_after_it(self, replays: Replays) -> None:
        assert await is_new(replays, "short", 0.5)
        assert await is_new(replays, "long", 60.0)
        await asyncio.sleep(1.6)  # a store may keep it up to a second longer
        assert await is_new(replays, "short", 0.5)
        assert not await is_new(replays, "long", 60.0)

    async def test_being_asked_again_does_not_prolong_it(self, replays: Replays) -> None:
        assert await is_new(replays, "nonce", 2.0)
        assert not await is_new(replays, "nonce", 60.0)
        await asyncio.sleep(3.1)
        assert await is_new(replays, "nonce", 60.0)

    @pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 86_401])
    async def test_a_time_that_means_nothing_is_refused(self, replays: Replays, ttl_s: float) -> None:
        with pytest.raises(InvalidInput, match="remembered"):
            await is_new(replays, "nonce", ttl_s)
