"""The memo stays within its bound, and what is asked for again outlives what is not."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.memo import Memo


def test_it_holds_what_was_put() -> None:
    memo: Memo[int] = Memo(10)
    memo.put(b"a", 1)
    assert (memo[b"a"], memo[b"b"]) == (1, None)
    memo.put(b"a", 2)
    assert memo[b"a"] == 2


def test_what_is_asked_for_outlives_the_flood() -> None:
    memo: Memo[int] = Memo(100)
    memo.put(b"wanted", 1)
    for number in range(10_000):
        memo.put(b"%d" % number, number)
        assert memo[b"wanted"] == 1
        assert len(memo) + len(memo._older) <= 100
    assert memo[b"17"] is None


@given(st.lists(st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 12)), max_size=80), st.integers(2, 8))
def test_it_never_lies_and_never_grows(steps: list[tuple[str, int]], entries: int) -> None:
    memo: Memo[int] = Memo(entries)
    truth: dict[bytes, int] = {}
    for turn, (what, number) in enumerate(steps):
        key = b"%d" % number
        if what == "put":
            truth[key] = turn
            memo.put(key, turn)
        else:
            assert memo[key] in (truth.get(key), None)
        assert len(memo) + len(memo._older) <= max(2, entries)
