"""The contracts of the high-speed cache, and of the rate limiter and the replay store that live beside it. In process or Redis."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from core.errors import PlatformError


class SharedCache(Protocol):
    """Bytes by key with a time to live, shared by all nodes. A cache: any entry may vanish at any time.

    When the cache can't be reached, `get` answers None and `set`/`delete` raise Unavailable: the tiers below go on.
    """

    async def get(self, key: str) -> bytes | None:
        """The value or None. Never raises for a cache that is down: a miss costs less than an error."""
        ...

    async def set(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Store for `ttl_s` seconds (> 0)."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget these keys; unknown ones are ignored."""
        ...

    async def check(self) -> None:
        """Raise Unavailable, saying what and where, unless the cache answers."""
        ...

    async def close(self) -> None: ...


class Rate(Struct, frozen=True):
    """A GCRA limit: `per_s` requests a second sustained, `burst` at once."""

    per_s: float
    burst: int


class Verdict(Struct, frozen=True):
    """What was decided about one rate. `remaining` requests would pass now; the bucket is full again in `reset_s`."""

    allowed: bool
    remaining: int
    reset_s: float
    retry_after_s: float


class Bound(Struct, frozen=True):
    """One amount that may not be passed: a GCRA rate (`count` at once, one more each `interval_s`), `count` requests a calendar day
    or month in UTC, or `count` under way at once."""

    kind: Literal["rate", "day", "month", "concurrent"]
    count: int
    interval_s: float = 0.0
    tolerance_s: float = 0.0


Charge: TypeAlias = tuple[str, Bound]
"""What one request costs one key: a place in its bound. A key is used with one bound only."""


NO_PLACE: Charge = ("none", Bound("concurrent", 0))
"""Never has a place: what is decided together with it is charged nothing."""

Left: TypeAlias = tuple[tuple[int, float], ...]
"""For each charge how many more would pass now, and in how many seconds all of it is free again."""


class Held(Struct, frozen=True):
    """Places under way that one request has taken; its end gives them back to `owner`."""

    owner: "Limiter"
    keys: tuple[str, ...]
    lease: str = ""


class Answer(Struct, frozen=True, gc=False):
    """What was decided about all charges of a request together. `refused` is the number of the first charge that had no place, -1
    where all had; then none is charged. `left` is told as it is after the charge."""

    refused: int
    retry_after_s: float
    left: Left
    held: Held | None = None


class Pending:
    """An answer that is still on its way. Whoever asked sets `then`: it is called with the answer before `future` is done; a
    PlatformError that it raises is raised by the future."""

    __slots__ = ("future", "then")

    def __init__(self, future: Future[None]) -> None:
        self.future = future
        self.then: Callable[[Answer], None] | None = None

    def settle(self, answer: Answer) -> None:
        """For the limiter: once, unless it fails. Nobody may wait any more: then the answer still goes to `then`."""
        try:
            if self.then is not None:
                self.then(answer)
        except PlatformError as error:
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(None)

    def fail(self, error: PlatformError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Limiter(Protocol):
    """Decides about several charges at once: all or none. Called from one event loop."""

    def decide(self, charges: Sequence[Charge]) -> Answer | Pending:
        """The answer, where it is known at once. Raises Unavailable (limiter_unavailable), at once or by the future, when the count
        can't be had and may not be guessed."""
        ...

    async def look(self, charges: Sequence[Charge]) -> Left:
        """What is left of these, charging nothing; not for each request. Raises as `decide` does."""
        ...

    def give_back(self, held: Held) -> None:
        """Free the places under way. Once for each `Held`; never raises."""
        ...

    async def close(self) -> None: ...


class Replays(Protocol):
    """Remembers what must not come twice: nonces, proof ids."""

    def is_new(self, key: str, ttl_s: float) -> bool | Awaitable[bool]:
        """True the first time a key is given within `ttl_s` (> 0). In one process at once; over all nodes with Redis.

        Raises, at once or when awaited: Limited (replays_full) when so much is remembered that it would have to forget too early,
        Unavailable when the store can't be asked.
        """
        ...
