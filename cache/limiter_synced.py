"""The limiter that decides without waiting and exchanges counts with the other nodes through Redis, many keys in one call.

Its error: all nodes together admit at most 2 x (burst or count + number of nodes) more than a limit allows, once, whatever the
rates; what was admitted too much is paid back, since it is counted. While Redis is down each node counts alone (nodes x limit), or
refuses.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from cache.gcra import ROUNDING
from cache.limit_scripts import SYNC, digest
from cache.limiter_redis import PREFIX, WhenDown
from cache.periods import Periods
from cache.resp import RedisLink, bulk, packed
from cache.shares import Share
from core.cache import Answer, Bound, Charge, Held, Left, Limiter
from core.errors import Unavailable

_PER_CALL = 256  # keys; Redis answers nobody else meanwhile
_IDLE_S = 60.0
_LOOKED_AT = 4
_HEARTBEAT_S = 1.0
_KINDS = {"rate": b"r", "day": b"d", "month": b"m", "concurrent": b"c"}
_LOAD = packed(b"SCRIPT", b"LOAD", SYNC.encode())
_EVALSHA = bulk(b"EVALSHA") + bulk(digest(SYNC))


class SyncedLimiter:
    """See core.cache.Limiter. `sync_s` is the time between two exchanges; a node that is silent for `silent_s` no longer counts as
    one. Past `max_keys` an old key is forgotten, with what this node knew of it."""

    def __init__(
        self,
        url: str,
        *,
        sync_s: float = 0.1,
        silent_s: float = 5.0,
        when_down: WhenDown = "local",
        prefix: bytes = PREFIX,
        max_keys: int = 200_000,
        timeout_s: float = 0.5,
    ) -> None:
        self._link = RedisLink(url, prepare=(_LOAD,), timeout_s=timeout_s)
        self._sync_s = sync_s
        self._silent = bulk(b"%d" % round(max(silent_s, 10 * sync_s) * 1000))
        self._when_down = when_down
        self._prefix = prefix + b"synced:"
        self._max_keys = max_keys
        self._name = os.urandom(6).hex().encode()
        self._shares: dict[str, Share] = {}
        self._touched: set[str] = set()  # since the last exchange
        self._holding: set[str] = set()  # keys of places that this node holds
        self._under_way = 0  # messages without an answer
        self._looking: list[asyncio.Future[None]] = []  # wait until none is
        self._periods = Periods()
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self.nodes = 1

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def open(self) -> bool:
        """Connect and make this node known; whether it could. Not needed, see RedisLimiter.open."""
        is_up = await self._link.open()
        self._exchange()
        return is_up

    def decide(self, charges: Sequence[Charge]) -> Answer:
        if self._timer is None:
            self._exchange()
        nodes = self.nodes if self._link.is_up else self._alone()
        now = time.monotonic()
        if len(charges) == 1:
            key, bound = charges[0]
            share = self._shares.get(key)
            if share is not None and share.bound is bound and bound.interval_s:
                ahead = share.spend(now, nodes)
                if ahead >= 0:
                    self._touched.add(key)
                    return Answer(-1, 0.0, ((int((bound.tolerance_s - ahead) / bound.interval_s + ROUNDING), ahead),))
        return self._decide(charges, now, nodes)

    def _alone(self) -> int:
        """How many nodes share while Redis is down."""
        if self._when_down == "refuse":
            raise Unavailable(f"limits can't be counted now: {self._link.where}: {self._link.cause}", code="limiter_unavailable")
        return 1

    async def look(self, charges: Sequence[Charge]) -> Left:
        """As of an exchange that begins now: this node may know nothing of these keys yet."""
        self._periods.at(time.time())
        shares = [self._share(key, bound, time.monotonic()) for key, bound in charges]
        for _ in range(2):  # what is under way may have left before these keys were touched
            if not self._under_way:
                self._exchange()
            if self._under_way:
                heard = asyncio.get_running_loop().create_future()
                self._looking.append(heard)
                await heard
        if not self._link.is_up:
            self._alone()
        now, wall = time.monotonic(), time.time()
        self._periods.at(wall)
        return tuple([(share.places(now, self._period(share.bound), 1)[0], self._reset_s(share, now, wall)) for share in shares])

    def _decide(self, charges: Sequence[Charge], now: float, nodes: int) -> Answer:
        """All are looked at before any is charged."""
        wall = time.time()
        self._periods.at(wall)
        refused, retry_s = -1, 0.0
        shares: list[Share] = []
        left: list[tuple[int, float]] = []
        for number, (key, bound) in enumerate(charges):
            share = self._share(key, bound, now)
            free, own = share.places(now, self._period(bound), nodes)
            shares.append(share)
            reset_s = self._reset_s(share, now, wall)
            left.append((free, reset_s))
            if own < 1:
                refused = number if refused < 0 else refused
                retry_s = max(retry_s, self._sync_s if free else _wait_s(bound, reset_s))
        if refused >= 0:
            if retry_s <= self._sync_s and now - self._told_at >= self._sync_s / 10:
                self._exchange()  # its share is used up while there is room: the others may have left some
            return Answer(refused, retry_s, tuple(left))
        held = []
        for share, (key, bound) in zip(shares, charges, strict=True):
            share.charge(now)
            if bound.kind == "concurrent":
                held.append(key)
                self._holding.add(key)
        after = ((free - 1, reset_s + bound.interval_s) for (free, reset_s), (_, bound) in zip(left, charges, strict=True))
        return Answer(-1, 0.0, tuple(after), Held(self, tuple(held)) if held else None)

    def _share(self, key: str, bound: Bound, now: float) -> Share:
        self._touched.add(key)
        share = self._shares.get(key)
        if share is None:
            self._make_room(now)
            share = self._shares[key] = Share(bound, now, self._period(bound))
        elif share.bound is not bound:
            share.bound = bound  # the plan was changed: what was counted stays
        return share

    def _period(self, bound: Bound) -> int:
        return self._periods.month if bound.kind == "month" else self._periods.day

    def _reset_s(self, share: Share, now: float, wall: float) -> float:
        kind = share.bound.kind
        if kind == "rate":
            return share.reset_s(now)
        return 0.0 if kind == "concurrent" else max(0.0, self._periods.of(kind)[1] - wall)

    def _make_room(self, now: float) -> None:
        """Old keys with nothing to tell go; in a full table the oldest that holds no place."""
        for _ in range(min(_LOOKED_AT, len(self._shares))):
            key = next(iter(self._shares))
            share = self._shares.pop(key)
            is_full = len(self._shares) + 1 >= self._max_keys and key not in self._holding
            if not is_full and not share.is_idle(now, _IDLE_S):
                self._shares[key] = share
            else:
                self._touched.discard(key)

    def give_back(self, held: Held) -> None:
        for key in held.keys:
            share = self._shares.get(key)
            if share is not None:
                share.give_back()
                self._touched.add(key)

    def _exchange(self) -> None:
        """What was touched goes out; a node with nothing to say says that it is there."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._sync_s, self._exchange)
        now = time.monotonic()
        if not self._link.is_up:
            self._link.wake()
            return
        if self._under_way or not (self._touched or self._holding or now - self._told_at >= _HEARTBEAT_S):
            return
        self._told_at = now
        keys = [key for key in self._touched | self._holding if key in self._shares]
        self._touched.clear()
        for start in range(0, max(1, len(keys)), _PER_CALL):
            self._send(keys[start : start + _PER_CALL], now)

    def _send(self, keys: list[str], now: float) -> None:
        shares = [self._shares[key] for key in keys]
        parts = [b"*%d\r\n" % (6 + 4 * len(keys)), _EVALSHA, bulk(b"%d" % (len(keys) + 1)), bulk(self._prefix + b"nodes")]
        parts += [bulk(self._prefix + key.encode("utf-8", "replace")) for key in keys]
        parts += [bulk(self._name), self._silent]
        for key, share in zip(keys, shares, strict=True):
            parts.append(bulk(_KINDS[share.bound.kind]) + bulk(b"%d" % share.message(now)))
            parts.append(bulk(repr(share.bound.interval_s * 1e6).encode()))
            if share.bound.kind == "concurrent" and not share.own:
                self._holding.discard(key)
        self._under_way += 1
        self._link.send(b"".join(parts), partial(self._learn, shares))

    def _learn(self, shares: list[Share], reply: Any) -> None:
        self._under_way -= 1
        if not self._under_way:
            asyncio.get_running_loop().call_soon(self._heard)
        if not isinstance(reply, list):
            for share in shares:
                share.lost()
            if not isinstance(reply, Unavailable):  # NOSCRIPT after SCRIPT FLUSH
                self._link.send(_LOAD, _ignored)
            return
        self.nodes = max(1, reply[0])
        now = time.monotonic()
        for share, total in zip(shares, reply[1:], strict=True):
            share.answered(total, now)

    def _heard(self) -> None:
        looking, self._looking = self._looking, []
        for heard in looking:
            if not heard.done():
                heard.set_result(None)

    async def close(self) -> None:
        """The last counts are sent, but not waited for."""
        if self._timer is not None:
            self._exchange()
            self._timer.cancel()
            self._link.send(packed(b"ZREM", self._prefix + b"nodes", self._name), _ignored)
        await self._link.close()


def _wait_s(bound: Bound, reset_s: float) -> float:
    if bound.kind == "rate":
        return max(reset_s + bound.interval_s - bound.tolerance_s, 1e-3)
    return max(reset_s, 1.0)


def _ignored(reply: Any) -> None:
    """If it fails, the next exchange does too and asks again."""


def _conforms(limiter: SyncedLimiter) -> Limiter:
    return limiter
