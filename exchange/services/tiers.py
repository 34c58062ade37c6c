"""The tiered reader: app cache → shared cache → a loader (mirror or source), coalesced (requirements 0.02, 0.47).

It lives here and not in `storage` because it stands above two siblings, cache and storage, that may not know each other.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from cache.app import AppCache
from cache.coalesce import Coalescer
from config.model import Freshness
from core.cache import SharedCache
from core.clock import epoch_ms
from core.errors import DeadlineExceeded, NotConnected, PlatformError, Unavailable
from core.service import Answer, Caller, Tier


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """An answer as the caches keep it. Its age is worked out when it is given; `kept_ms` says until when it is fresh,
    `generation` of which version of its dataset it is."""

    body: bytes
    observed_ms: int
    tier: Tier
    etag: str = ""
    next_cursor: str | None = None
    last_version: int = 0
    kept_ms: int = 0
    generation: int = 0

    def answer(self, tier: Tier) -> Answer:
        age_s = max(0.0, (epoch_ms() - self.observed_ms) / 1000)
        return Answer(self.body, tier, age_s, self.etag, 200, self.next_cursor, self.last_version)


Loader = Callable[[], Awaitable[Kept]]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Kept)


@dataclass(frozen=True, slots=True)
class Held:
    """What the app cache holds: fresh until `until` (of the monotonic clock), and after that for want of a better answer."""

    kept: Kept
    until: float


class Tiers:
    """The caches of one process. A `tag` is the dataset or service that an invalidation names.

    A change does not take entries away, it makes them stale: an entry says at which version of its dataset it was loaded, and while
    the source can't be had a stale one is better than none.
    """

    def __init__(self, app: AppCache[Held], shared: SharedCache, coalescer: Coalescer[tuple[Kept, Tier]]) -> None:
        self._app = app
        self._shared = shared
        self._coalescer = coalescer
        self._generations: dict[str, int] = {}

    def is_known(self, tag: str) -> bool:
        """Whether the dataset's version has been announced. Before that nothing of it may be read from a cache."""
        return tag in self._generations

    def announce(self, tag: str, version: int) -> None:
        """The dataset stands at `version`; what was loaded before is stale."""
        if version > self._generations.get(tag, -1):
            self._generations[tag] = version

    async def read(self, key: str, load: Loader, *, tag: str, freshness: Freshness, caller: Caller) -> Answer:
        """The first tier that may answer. While the source can't be had, an entry up to `stale_s` old, with its age."""
        generation = self._generations.get(tag, 0)
        full_key = f"zy:{tag}:{key}"
        held = self._app.get(full_key)
        now = time.monotonic()
        if held is not None and held.kept.generation == generation and now < held.until:
            return held.kept.answer("app")
        last = None if held is None else held.kept
        try:
            kept, tier = await self._coalescer.load(
                (full_key, generation),  # who asks after a change must not be given what was loaded before it
                lambda: self._below(full_key, load, freshness, generation, last),
                within_s=caller.deadline - now,
            )
        except TimeoutError:
            raise DeadlineExceeded("the data could not be had within the request's time") from None
        # A change may have been announced while we read: what was read before it must not be kept behind it.
        if (
            freshness.app_s > 0
            and _is_fresh(kept, max(freshness.cache_s, freshness.app_s))
            and self._generations.get(tag, 0) == kept.generation
        ):
            held = Held(kept, time.monotonic() + freshness.app_s)
            self._app.set(full_key, held, size=len(kept.body) + len(full_key), ttl_s=freshness.app_s + freshness.stale_s)
        return kept.answer(tier)

    async def _below(self, key: str, load: Loader, freshness: Freshness, generation: int, last: Kept | None) -> tuple[Kept, Tier]:
        """From the shared cache, or the loader; where that fails, the younger of what the shared and the app cache still have."""
        shared = _decoded(await self._shared.get(key)) if freshness.cache_s > 0 else None
        if shared is not None and shared.generation == generation and _is_fresh(shared, freshness.cache_s):
            return shared, "cache"
        try:
            kept = msgspec.structs.replace(await load(), kept_ms=epoch_ms(), generation=generation)
        except (NotConnected, Unavailable, DeadlineExceeded):
            limit_s = max(freshness.app_s, freshness.cache_s) + freshness.stale_s
            kept_before: list[tuple[Kept | None, Tier]] = [(shared, "cache"), (last, "app")]
            stale = [(kept, tier) for kept, tier in kept_before if kept is not None and _is_fresh(kept, limit_s)]
            if not stale:
                raise
            return max(stale, key=lambda found: found[0].kept_ms)
        if freshness.cache_s > 0:
            await self._share(key, kept, freshness.cache_s + freshness.stale_s)
        return kept, kept.tier

    async def _share(self, key: str, kept: Kept, ttl_s: float) -> None:
        try:
            await self._shared.set(key, _ENCODER.encode(kept), ttl_s=ttl_s)
        except PlatformError:
            return  # the shared cache is down: its health check says so; the answer is as good without it


def _is_fresh(kept: Kept, seconds: float) -> bool:
    return epoch_ms() - kept.kept_ms <= seconds * 1000


def _decoded(found: bytes | None) -> Kept | None:
    """None for what an older release may have left there."""
    if found is None:
        return None
    try:
        return _DECODER.decode(found)
    except msgspec.MsgspecError:
        return None
