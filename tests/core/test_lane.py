"""Calls in threads: order, errors, cancelling, the end."""

import asyncio
import threading
from functools import partial

import pytest

from core.lane import Lane


async def test_results_and_errors_come_back_to_their_callers() -> None:
    lane = Lane("here", threads=2)
    assert await asyncio.gather(*(lane.run(partial(divmod, number, 7)) for number in range(100))) == [
        divmod(n, 7) for n in range(100)
    ]
    with pytest.raises(ZeroDivisionError):
        await lane.run(partial(divmod, 1, 0))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await lane.run(partial(next, iter(())))
    await lane.close()


async def test_one_thread_keeps_the_order_and_is_not_the_caller_s() -> None:
    lane, seen = Lane("one"), list[int]()
    await asyncio.gather(*(lane.run(partial(seen.append, number)) for number in range(200)))
    assert seen == list(range(200))
    assert await lane.run(lambda: threading.current_thread().name) == "one-0"
    await lane.close()


async def test_a_call_that_was_cancelled_before_its_turn_is_not_made_one_under_way_ends() -> None:
    lane, gate, done = Lane("slow"), threading.Event(), list[str]()

    def first() -> None:
        gate.wait(30)
        done.append("first")

    running = lane.run(first)
    waiting = lane.run(lambda: done.append("never"))
    last = lane.run(lambda: done.append("last"))
    await asyncio.sleep(0.05)
    running.cancel()
    waiting.cancel()
    gate.set()
    await last
    assert done == ["first", "last"]
    await lane.close()


async def test_what_was_given_is_done_before_the_end_and_nothing_after_it() -> None:
    lane, seen = Lane("ends"), list[int]()
    for number in range(50):
        lane.run(partial(seen.append, number))
    await lane.close()
    await lane.close()
    assert seen == list(range(50))
    with pytest.raises(RuntimeError, match="ends was closed"):
        lane.run(int)


async def test_one_that_was_never_used_has_no_threads() -> None:
    before = threading.active_count()
    lane = Lane("unused", threads=4)
    assert threading.active_count() == before
    await lane.close()
