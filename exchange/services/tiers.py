"""The tiered reader: app cache → shared cache → a loader (mirror or source), coalesced (requirements 0.02, 0.47).

It lives here and not in `storage` because it stands above two siblings, cache and storage, that may not know each other.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from cache.app import AppCache
from cache.coalesce import Coalescer
from config.model import Freshness
from core.cache import SharedCache
from core.clock import epoch_ms
from core.errors import DeadlineExceeded, NotConnected, PlatformError, Unavailable
from core.service import Answer, Caller, Tier


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """An answer as the caches keep it. Its age is worked out when it is given; `kept_ms` says until when it is fresh."""

    body: bytes
    observed_ms: int
    tier: Tier
    etag: str = ""
    next_cursor: str | None = None
    last_version: int = 0
    kept_ms: int = 0

    def answer(self, tier: Tier) -> Answer:
        age_s = max(0.0, (epoch_ms() - self.observed_ms) / 1000)
        return Answer(self.body, tier, age_s, self.etag, 200, self.next_cursor, self.last_version)


Loader = Callable[[], Awaitable[Kept]]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Kept)


class Tiers:
    """The caches of one process. A `tag` is the dataset or service that an invalidation names."""

    def __init__(self, app: AppCache[Kept], shared: SharedCache, coalescer: Coalescer[tuple[Kept, Tier]]) -> None:
        self._app = app
        self._shared = shared
        self._coalescer = coalescer
        self._generations: dict[str, int] = {}

    def is_known(self, tag: str) -> bool:
        """Whether the dataset's version has been announced. Before that nothing of it may be read from a cache."""
        return tag in self._generations

    def announce(self, tag: str, version: int) -> None:
        """The dataset stands at `version`. Older entries are stale: here they go, in the shared cache no key leads to them."""
        if version > self._generations.get(tag, -1):
            self._generations[tag] = version
        self._app.drop_tag(tag)

    async def read(self, key: str, load: Loader, *, tag: str, freshness: Freshness, caller: Caller) -> Answer:
        """The first tier that may answer. While the source can't be had, a shared entry up to `stale_s` old, with its age."""
        generation = self._generations.get(tag, 0)
        full_key = f"zy:{tag}:{generation}:{key}"
        kept = self._app.get(full_key)
        if kept is not None:
            return kept.answer("app")
        try:
            async with asyncio.timeout(caller.deadline - time.monotonic()):
                kept, tier = await self._coalescer.load(full_key, lambda: self._below(full_key, load, freshness))
        except TimeoutError:
            raise DeadlineExceeded("the data could not be had within the request's time") from None
        # A change may have been announced while we read: what was read before it must not be kept behind it.
        if (
            freshness.app_s > 0
            and _is_fresh(kept, max(freshness.cache_s, freshness.app_s))
            and self._generations.get(tag, 0) == generation
        ):
            size = len(kept.body) + len(full_key)
            self._app.set(full_key, kept, size=size, ttl_s=freshness.app_s, tags=(tag,))
        return kept.answer(tier)

    async def _below(self, key: str, load: Loader, freshness: Freshness) -> tuple[Kept, Tier]:
        found = await self._shared.get(key) if freshness.cache_s > 0 else None
        old = _decoded(found)
        if old is not None and _is_fresh(old, freshness.cache_s):
            return old, "cache"
        try:
            kept = msgspec.structs.replace(await load(), kept_ms=epoch_ms())
        except (NotConnected, Unavailable, DeadlineExceeded):
            if old is None:
                raise
            return old, "cache"
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
