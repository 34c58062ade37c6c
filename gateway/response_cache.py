"""Where answers are kept: one store for each worker, bounded in bytes and entries, least recently used out first.

It also knows which answers are on their way, so that equal requests wait for one. `cache_rules` decides, `stages/cache` asks.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from cache.app import AppCache
from config.model import Platform
from config.types import encode
from core.purges import Purge
from gateway.cache_rules import Stored
from gateway.stage import Outcome, Response

Key = tuple[Any, ...]
_VARIED_S = 86_400.0
_PASSED_S = 10.0
_MAX_PURGED = 1024


class Varied(Struct, frozen=True):
    """Stands at a target whose answers differ by these request fields: the answer is under the key with their values."""

    names: tuple[str, ...]


class Passed(Struct, frozen=True):
    """Stands for a while where an answer could not be kept: nobody waits there for another's."""


PASSED = Passed()
Entry = Stored | Varied | Passed


class Waiter(Struct, eq=False):
    """A request that waits for another's answer. `again(waiter, has_failed)` decides anew for it: an answer, None to go itself, or
    its own future once more where it has joined the next flight."""

    future: "asyncio.Future[Response | None]"
    again: "Callable[[Waiter, bool], Outcome]"


class Flight(Struct, eq=False):
    """An answer on its way that may be kept. `is_void`: what it brings was made invalid meanwhile."""

    key: Key
    target: str
    route: str
    waiters: list[Waiter] = []
    is_void: bool = False


class ResponseStore:
    """Not for several threads. Made once for each worker; it outlives snapshots (see `follow`)."""

    def __init__(
        self, *, max_bytes: int = 64 << 20, max_entries: int = 50_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._entries: AppCache[Entry] = AppCache(max_bytes=max_bytes, max_entries=max_entries, clock=clock)
        self._flights: dict[Key, Flight] = {}
        self._routes: Mapping[str, object] = {}
        self._purged: dict[str, None] = {}  # the last purges, by id
        self.find = self._entries.get

    @property
    def bytes(self) -> int:
        return self._entries.bytes

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, key: Key, target: str, route: str) -> Flight | None:
        """Lead: the one request that goes upstream for this key. None where there is one already."""
        if key in self._flights:
            return None
        flight = self._flights[key] = Flight(key, target, route, [])
        return flight

    def flight(self, key: Key) -> Flight | None:
        return self._flights.get(key)

    def keep(self, flight: Flight, primary: Key, varied: Key, stored: Stored) -> None:
        """Store what the flight has brought, under the key with the varied values where it varies."""
        if flight.is_void:
            return
        tags = (flight.route, flight.target)
        if stored.vary:
            self._entries.set(primary, Varied(stored.vary), size=100, ttl_s=_VARIED_S, tags=tags)
        self._entries.set(
            varied, stored, size=stored.size() + len(flight.target), ttl_s=stored.kept_until - self.clock(), tags=tags
        )

    def pass_by(self, flight: Flight) -> None:
        """This answer can't be kept."""
        self._entries.set(flight.key, PASSED, size=len(flight.target), ttl_s=_PASSED_S, tags=(flight.route, flight.target))

    def settle(self, flight: Flight, *, has_failed: bool = False) -> None:
        """The flight is over: each that waited decides anew. Idempotent."""
        if self._flights.get(flight.key) is not flight:
            return
        del self._flights[flight.key]
        for waiter in flight.waiters:
            if waiter.future.done():
                continue
            outcome = waiter.again(waiter, has_failed)
            if outcome is None or isinstance(outcome, Response):
                waiter.future.set_result(outcome)

    def invalidate(self, target: str) -> None:
        """Forget every answer of this target, also those on their way (RFC 9111 §4.4). Other workers' copies stay."""
        for flight in self._flights.values():
            flight.is_void = flight.is_void or flight.target == target
        self._entries.drop_tag(target)

    def purge(self, route: str, prefix: str = "") -> int:
        """Forget every answer of a route, or those whose target begins with that path, also those on their way; how many."""
        tag = f"route:{route}"
        for flight in self._flights.values():
            flight.is_void = flight.is_void or (flight.route == tag and _is_below(prefix, flight.target))
        if not prefix:
            return self._entries.drop_tag(tag)
        return self._entries.drop_tag(tag, where=lambda tags: _is_below(prefix, tags[-1]))

    def take_purges(self, found: Sequence[Purge]) -> None:
        """Purges that were told to every process, each by two ways: what was kept since the first telling stays."""
        for each in found:
            if each.id not in self._purged:
                self._purged[each.id] = None
                self.purge(each.route, each.prefix)
        while len(self._purged) > _MAX_PURGED:
            del self._purged[next(iter(self._purged))]

    def follow(self, platform: Platform) -> None:
        """A snapshot was loaded: forget the answers of routes and services that are gone or changed, or whose upstream or callers'
        grants have."""
        now = _fingerprints(platform)
        for name, known in self._routes.items():
            if now.get(name) != known:
                self.purge(name)
        self._routes = now


def _is_below(prefix: str, target: str) -> bool:
    """`target`: the host, then path and query (see `stages.cache`)."""
    return target.startswith(prefix, max(target.find("/"), 0))


def _fingerprints(platform: Platform) -> dict[str, object]:
    grants: dict[str, list[object]] = {}
    for name, app in platform.apps.items():
        for route, grant in app.grants.items():
            grants.setdefault(route, []).append((name, grant))
    found: dict[str, object] = {}
    for name, service in platform.services.items():
        if service.policies.cache is not None:
            found[name] = (_told(service), grants.get(name))
    for name, declared in platform.routes.items():
        if declared.policies.cache is not None:
            names = (declared.upstream, *(split.upstream for split in declared.splits))
            upstreams = [platform.upstreams.get(each) for each in names]
            found[name] = (_told((declared, upstreams)), grants.get(name))
    return found


def _told(declared: object) -> bytes:
    """By a digest, since credentials are part of it."""
    return blake2b(msgspec.json.encode(declared, enc_hook=encode), digest_size=20).digest()
