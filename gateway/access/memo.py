"""A bounded memo for the hot path: two generations in one dict; what is asked again outlives what is not."""

from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Memo(dict[bytes, _Value | None], Generic[_Value]):
    """`memo[key]` gives a value or None and never raises; a hit costs one look-up in C. Holds at most `entries`.

    When half of them are young, the young become the old and the old are forgotten: no step ever costs more than a copy of that
    half, once in that many new entries.
    """

    def __init__(self, entries: int) -> None:
        super().__init__()
        self._half = max(1, entries // 2)
        self._older: dict[bytes, _Value | None] = {}

    def __missing__(self, key: bytes) -> _Value | None:
        value = self._older.get(key)
        if value is not None:
            self.put(key, value)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        if len(self) >= self._half:
            self._older = self.copy()
            self.clear()
        self[key] = value
