"""The reader's window as a script: order, prefetch, and the head of the line across retries."""

from hypothesis import given
from hypothesis import strategies as st

from bus.window import Hand, Wait, Window


def test_a_retry_holds_back_what_follows() -> None:
    window: Window[str] = Window(prefetch=3)
    for number, item in enumerate("abc", start=1):
        window.add(number, item)
    assert window.room == 0
    assert window.take(0.0) == Hand(1, "a")
    window.postpone(1, due=5.0)
    assert window.take(1.0) == Wait(4.0)
    assert window.take(5.0) == Hand(1, "a")
    assert window.take(5.0) == Hand(2, "b")
    window.settle(1)
    assert (window.room, window.lowest) == (1, 2)
    assert window.take(5.0) == Hand(3, "c")
    assert window.take(5.0) == Wait(None)


def test_two_retries_come_in_order_whichever_is_due_first() -> None:
    window: Window[str] = Window(prefetch=3)
    window.add(1, "a")
    window.add(2, "b")
    window.take(0.0)
    window.take(0.0)
    window.postpone(2, due=1.0)
    window.postpone(1, due=9.0)
    assert window.take(2.0) == Wait(7.0)
    assert window.take(9.0) == Hand(1, "a")
    assert window.take(9.0) == Hand(2, "b")


@given(st.lists(st.sampled_from(["add", "take", "settle", "retry", "wait"]), max_size=100), st.integers(1, 5))
def test_a_reader_that_settles_each_before_the_next_sees_them_in_order(steps: list[str], prefetch: int) -> None:
    window: Window[int] = Window(prefetch)
    added, now, held, settled = 0, 0.0, None, []
    for step in steps:
        if step == "add" and window.room:
            added += 1
            window.add(added, added)
        elif step == "take" and held is None:
            taken = window.take(now)
            held = taken.number if isinstance(taken, Hand) else None
        elif step == "settle" and held is not None:
            window.settle(held)
            settled.append(held)
            held = None
        elif step == "retry" and held is not None:
            window.postpone(held, now + 2)
            held = None
        elif step == "wait":
            now += 1
        assert window.room >= 0
        assert window.lowest == (len(settled) + 1 if added > len(settled) else None)
    assert settled == list(range(1, len(settled) + 1))
