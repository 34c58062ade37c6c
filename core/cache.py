"""The contracts of the high-speed cache, and of the rate limiter and the replay store that live beside it. In process or Redis."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from msgspec import Struct


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
    """What the limiter decided. `remaining` requests would pass now; the bucket is full again in `reset_s`."""

    allowed: bool
    remaining: int
    reset_s: float
    retry_after_s: float


class Limiter(Protocol):
    """Counts requests against rates. A refused request is not charged."""

    async def take(self, key: str, rate: Rate) -> Verdict:
        """Charge one request to `key`. Raises Unavailable when the count can't be had (the caller's policy decides)."""
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
