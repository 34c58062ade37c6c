"""The app cache: bounds, order of eviction, time to live, tags, counters; against a model, too."""

from hypothesis import given
from hypothesis import strategies as st

from cache.app import AppCache

_ENTRY = 400


class _Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_least_recently_used_goes_first() -> None:
    cache: AppCache[str] = AppCache(max_bytes=1 << 20, max_entries=2)
    cache.set("a", "1", size=1, ttl_s=60)
    cache.set("b", "2", size=1, ttl_s=60)
    assert cache.get("a") == "1"
    cache.set("c", "3", size=1, ttl_s=60)
    assert [cache.get(key) for key in "abc"] == ["1", None, "3"]
    assert (cache.hits, cache.misses, cache.evictions) == (3, 1, 1)


def test_bytes_are_bounded_and_what_is_too_large_is_not_kept() -> None:
    cache: AppCache[bytes] = AppCache(max_bytes=3 * (_ENTRY + 100), max_entries=100)
    for key in "abcd":
        assert cache.set(key, b"x" * 100, size=100, ttl_s=60)
    assert len(cache) == 3
    assert cache.bytes == 3 * (_ENTRY + 100)
    assert not cache.set("d", b"x" * 9999, size=9999, ttl_s=60)
    assert cache.get("d") is None  # the old value must not outlive the new one


def test_an_entry_past_its_time_is_a_miss_and_frees_its_bytes() -> None:
    time = _Time()
    cache: AppCache[str] = AppCache(max_bytes=1 << 20, max_entries=10, clock=time)
    cache.set("a", "1", size=1, ttl_s=5)
    time.now += 4.999
    assert cache.get("a") == "1"
    time.now += 0.001
    assert cache.get("a") is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_dropping_a_tag_drops_its_entries_alone() -> None:
    cache: AppCache[str] = AppCache(max_bytes=1 << 20, max_entries=10)
    cache.set("a", "1", size=1, ttl_s=60, tags=["orders", "sales"])
    cache.set("b", "2", size=1, ttl_s=60, tags=["orders"])
    cache.set("c", "3", size=1, ttl_s=60, tags=["owners"])
    assert cache.drop_tag("orders") == 2
    assert cache.drop_tag("sales") == 0
    assert [cache.get(key) for key in "abc"] == [None, None, "3"]
    cache.set("d", "4", size=1, ttl_s=60, tags=["owners", "li"])
    assert cache.drop_tag("owners", where=lambda tags: "li" in tags) == 1
    assert [cache.get(key) for key in "cd"] == ["3", None]
    cache.clear()
    assert (len(cache), cache.bytes, cache.drop_tag("owners")) == (0, 0, 0)


_operations = st.lists(
    st.tuples(st.sampled_from(["set", "get", "delete", "drop", "wait"]), st.integers(0, 6), st.integers(0, 900)), max_size=60
)


@given(_operations)
def test_bounds_and_freshness_hold_whatever_happens(operations: list[tuple[str, int, int]]) -> None:
    time = _Time()
    cache: AppCache[int] = AppCache(max_bytes=3_000, max_entries=4, clock=time)
    model: dict[int, tuple[int, float]] = {}
    for what, key, number in operations:
        if what == "set":
            cache.set(key, number, size=number, ttl_s=1 + number / 100, tags=[str(key % 2)])
            model[key] = (number, time.now + 1 + number / 100)
        elif what == "get":
            value = cache.get(key)
            assert value is None or (model[key][0] == value and model[key][1] > time.now)
        elif what == "delete":
            cache.delete(key)
            model.pop(key, None)
        elif what == "drop":
            cache.drop_tag(str(key % 2))
            model = {known: entry for known, entry in model.items() if known % 2 != key % 2}
        else:
            time.now += number / 100
        assert len(cache) <= 4
        assert cache.bytes <= 3_000
        assert cache.bytes >= len(cache) * _ENTRY
