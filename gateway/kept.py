"""What was composed for one snapshot and can serve the next: a reload of ten thousand routes makes anew only what has changed.

A snapshot that follows another keeps the objects of what did not change (see `registry.snapshot.updated`), so identity tells.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Between two calls of `turn`, `get` is called for everything the snapshot has; what is not asked for is forgotten."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[tuple[object, ...], T]] = {}
        self._now: dict[str, tuple[tuple[object, ...], T]] = {}

    def turn(self) -> None:
        """A new snapshot begins."""
        self._before, self._now = self._now, {}

    def get(self, name: str, parts: tuple[object, ...], make: Callable[[], T]) -> T:
        """What was made under that name, if each of its parts is the very object it was made of; else what `make` gives."""
        known = self._before.get(name)
        if (
            known is None
            or len(known[0]) != len(parts)
            or not all([one is other for one, other in zip(known[0], parts, strict=True)])
        ):
            known = parts, make()
        self._now[name] = known
        return known[1]
