"""What a reader holds of one subscription: fetched, in hand, and waiting for another attempt. Pure: no I/O, time handed in."""

import heapq
from collections import deque
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Hand(Struct, Generic[T], frozen=True):
    """Deliver this now; `number` settles or postpones it."""

    number: int
    item: T


class Wait(Struct, frozen=True):
    """Nothing to deliver for `seconds`, or until something is added (None)."""

    seconds: float | None


class Window(Generic[T]):
    """At most `prefetch` unsettled items, numbered in the order of the subscription.

    An item that waits for another attempt holds back everything after it (head of the line), so that the order of each key
    holds across retries. What was handed out before the retry is not called back: a reader that needs order across a retry
    settles one envelope before it takes the next.
    """

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._fresh: deque[tuple[int, T]] = deque()
        self._in_hand: dict[int, T] = {}
        self._waiting: list[tuple[int, float]] = []  # a heap by number; never two of one number, so the rest is not compared
        self._postponed: dict[int, T] = {}

    @property
    def room(self) -> int:
        """How many more may be added."""
        return self._prefetch - len(self._fresh) - len(self._in_hand) - len(self._postponed)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to hand out now or later."""
        return not self._fresh and not self._waiting

    @property
    def lowest(self) -> int | None:
        """The smallest unsettled number."""
        numbers = [*self._in_hand, *self._postponed]
        if self._fresh:
            numbers.append(self._fresh[0][0])
        return min(numbers, default=None)

    def add(self, number: int, item: T) -> None:
        """Append an item; numbers rise."""
        self._fresh.append((number, item))

    def add_waiting(self, number: int, item: T, due: float) -> None:
        """Add an item that was postponed before this window was made."""
        self._postponed[number] = item
        heapq.heappush(self._waiting, (number, due))

    def take(self, now: float) -> Hand[T] | Wait:
        """The next to deliver at `now` (seconds)."""
        if self._waiting:
            number, due = self._waiting[0]
            if due > now:
                return Wait(due - now)
            heapq.heappop(self._waiting)
            item = self._postponed.pop(number)
        elif self._fresh:
            number, item = self._fresh.popleft()
        else:
            return Wait(None)
        self._in_hand[number] = item
        return Hand(number, item)

    def settle(self, number: int) -> None:
        """Forget an item that was in hand."""
        del self._in_hand[number]

    def postpone(self, number: int, due: float) -> None:
        """Hand the item out again at `due`, before all that follow it."""
        self.add_waiting(number, self._in_hand.pop(number), due)
