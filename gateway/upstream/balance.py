"""Balancers: which of the usable endpoints takes a request. One is made for each set of usable ones, so that a choice is cheap.

Pure state machines. What is usable is `health.py`'s to say.
"""

import math
import os
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import cycle
from math import gcd
from typing import Protocol

from config.upstreams import Upstream
from gateway.stage import Request
from gateway.upstream.endpoints import EndpointState

_MAX_CYCLE = 4096
_GOLDEN = 0.6180339887498949
_FEW = 4
_DECAY_S = 10.0
_PENALTY_S, _MAX_LATENCY_S = 0.01, 60.0
_POINTS, _MAX_POINTS = 128, 8192  # on the ring: for each unit of weight (shares then differ by some percent), in all


class Balancer(Protocol):
    """Chooses among the endpoints it was made for; at least one, each of weight > 0."""

    def pick(self, request: Request) -> EndpointState:
        """O(1), or O(log n) for a hash. The caller counts `active` up afterwards."""
        ...


class RoundRobin:
    """Weighted round robin, evenly spread (5:1:1 gives a a c a a b a): within one cycle the shares are exact."""

    def __init__(self, endpoints: Sequence[EndpointState], start: int = 0) -> None:
        order = _interleaved(endpoints)
        start %= len(order)
        self._next = cycle(order[start:] + order[:start]).__next__

    def pick(self, request: Request) -> EndpointState:
        return self._next()


def _interleaved(endpoints: Sequence[EndpointState]) -> list[EndpointState]:
    """Stride scheduling (Waldspurger and Weihl, 1995), sorted out beforehand: the k-th turn of weight w is at (k + phase) / w."""
    divisor = gcd(*(each.weight for each in endpoints))
    turns = [each.weight // divisor for each in endpoints]
    if (total := sum(turns)) > _MAX_CYCLE:  # the shares are rounded, each endpoint keeps its turn
        turns = [max(1, count * _MAX_CYCLE // total) for count in turns]
    places = sorted(((turn + index * _GOLDEN % 1) / count, index) for index, count in enumerate(turns) for turn in range(count))
    return [endpoints[index] for _, index in places]


class LeastRequests:
    """The one with the fewest requests under way for its weight: of all where they are few, else of two at random (Mitzenmacher,
    The Power of Two Choices, 2001)."""

    def __init__(self, endpoints: Sequence[EndpointState], rng: random.Random | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._random = (rng or random).random
        self._turn = 0

    def pick(self, request: Request) -> EndpointState:
        count = len(self._endpoints)
        if count > _FEW:
            one, other = two_of(self._endpoints, self._random)
            return one if _crowd(one) <= _crowd(other) else other
        self._turn = turn = (self._turn + 1) % count  # equal ones take turns
        best = self._endpoints[turn]
        least = (best.active + 1) / best.weight
        for endpoint in self._endpoints:
            if (crowd := (endpoint.active + 1) / endpoint.weight) < least:
                best, least = endpoint, crowd
        return best


def _crowd(endpoint: EndpointState) -> float:
    return (endpoint.active + 1) / endpoint.weight


def two_of(endpoints: Sequence[EndpointState], draw: Callable[[], float]) -> tuple[EndpointState, EndpointState]:
    """Two different ones, each pair as likely as any other."""
    count = len(endpoints)
    first = int(draw() * count)
    second = int(draw() * (count - 1))
    return endpoints[first], endpoints[second + (second >= first)]


class Ewma:
    """Peak EWMA (as in Twitter's Finagle): latency times requests under way. A latency over the average counts at once, one below
    it slowly; what is not asked is forgotten, so that it is tried again."""

    def __init__(
        self, endpoints: Sequence[EndpointState], rng: random.Random | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._random = (rng or random).random
        self._now = now

    def pick(self, request: Request) -> EndpointState:
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        now = self._now()
        one, other = two_of(self._endpoints, self._random)
        return one if _cost(one, now) <= _cost(other, now) else other


def _cost(endpoint: EndpointState, now: float) -> float:
    latency_s = endpoint.latency_s
    if not latency_s:  # never measured: one request tells more, the next ones wait for its answer
        return _MAX_LATENCY_S * endpoint.active
    return latency_s * math.exp((endpoint.measured_at - now) / _DECAY_S) * (endpoint.active + 1) / endpoint.weight


def measure(endpoint: EndpointState, latency_s: float, is_ok: bool, now: float) -> None:
    """Take one answer into the endpoint's average. A failure counts as slow, however fast it came: it must not attract more."""
    average = endpoint.latency_s
    if not is_ok:
        latency_s = min(max(latency_s, average * 2, _PENALTY_S), _MAX_LATENCY_S)
    if latency_s >= average:
        endpoint.latency_s = max(latency_s, 1e-6)
    else:
        kept = math.exp((endpoint.measured_at - now) / _DECAY_S)
        endpoint.latency_s = average * kept + latency_s * (1 - kept)
    endpoint.measured_at = now


class HashRing:
    """Consistent hash (Karger et al., 1997): a key stays where it is unless its own endpoint goes, and a new endpoint takes its
    share and no more. The same on every node and worker."""

    def __init__(self, endpoints: Sequence[EndpointState], key: Callable[[Request], bytes]) -> None:
        scale, most = float(_POINTS), max(_MAX_POINTS, 32 * len(endpoints))
        while scale * sum(each.weight for each in endpoints) > most:
            scale /= 2  # by halves, so that a small change of weights or members does not move every point
        ring = sorted(
            (place(f"{each.url}#{number}".encode()), each.url, each)
            for each in endpoints
            for number in range(max(1, round(each.weight * scale)))
        )
        self._places = [entry[0] for entry in ring]
        self._owners = [entry[2] for entry in ring]
        self._key = key

    def pick(self, request: Request) -> EndpointState:
        return self._owners[bisect_right(self._places, place(self._key(request))) % len(self._owners)]


def place(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def key_of(hash_on: str) -> Callable[[Request], bytes]:
    """What of a request is hashed. The caller's address stands in for an app or a header that it has not."""
    if hash_on == "app":
        return lambda request: (request.identity.app if request.identity is not None else request.remote).encode()
    if hash_on == "path":
        return lambda request: request.target.partition(b"?")[0]
    if hash_on == "address":
        return lambda request: request.remote.encode()
    name = hash_on.partition(".")[2].lower()
    return lambda request: (request.headers.get(name) or request.remote).encode("utf-8", "replace")


def make_balancer(declared: Upstream, endpoints: Sequence[EndpointState], now: Callable[[], float] = time.monotonic) -> Balancer:
    """For at least one endpoint."""
    match declared.balance:
        case "least_requests":
            return LeastRequests(endpoints)
        case "ewma":
            return Ewma(endpoints, now=now)
        case "hash":
            return HashRing(endpoints, key_of(declared.hash_on))
    return RoundRobin(endpoints, start=os.getpid())  # workers should not all begin with the same one
