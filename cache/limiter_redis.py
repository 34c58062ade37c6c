"""The limiter in Redis, exact over all nodes: what a turn of the event loop has gathered goes in one script call, not one each.

While Redis can't be asked, this node counts alone, or refuses with 503: never a word about the caller (401, 403).
"""

import asyncio
import itertools
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from cache.limit_scripts import DECIDE, digest
from cache.limiter_memory import MemoryLimiter
from cache.resp import RedisLink, bulk, packed
from core.cache import NO_PLACE, Answer, Bound, Charge, Held, Left, Limiter, Pending
from core.errors import Unavailable

WhenDown = Literal["local", "refuse"]
PREFIX = b"{zhiyun:limits}:"  # the hash tag keeps all keys of a script call in one slot of a cluster
_PER_CALL = 64  # requests; Redis answers nobody else meanwhile
_MAX_GATHERED = 4096
_MAX_ENCODED = 20_000
_RENEW_S = 20.0  # a third of the script's lease
_KINDS = {"rate": b"r", "day": b"d", "month": b"m", "concurrent": b"c"}
_LOAD = packed(b"SCRIPT", b"LOAD", DECIDE.encode())
_EVALSHA = bulk(b"EVALSHA") + bulk(digest(DECIDE))


class _Asked(Pending):
    """One request in a batch: its keys and arguments as RESP, and who waits; nobody where it only tells something."""

    __slots__ = ("arguments", "charges", "is_waited_for", "keys", "lease")

    def __init__(
        self, future: "asyncio.Future[None]", charges: Sequence[Charge], keys: bytes, arguments: bytes, lease: str
    ) -> None:
        self.future = future
        self.then = None
        self.charges = charges
        self.keys = keys
        self.arguments = arguments
        self.lease = lease
        self.is_waited_for = True


class RedisLimiter:
    """See core.cache.Limiter. `local` counts while Redis is down and `when_down` says so; it does not know what others count."""

    def __init__(
        self, url: str, local: MemoryLimiter, *, when_down: WhenDown = "local", prefix: bytes = PREFIX, timeout_s: float = 0.5
    ) -> None:
        self._link = RedisLink(url, prepare=(_LOAD,), timeout_s=timeout_s)
        self._local = local
        self._when_down = when_down
        self._prefix = prefix
        self._gathered: list[_Asked] = []
        self._encoded: dict[str, tuple[Bound, bytes, bytes]] = {}
        self._leases: dict[str, tuple[str, ...]] = {}  # of the requests under way
        self._renewal: asyncio.TimerHandle | None = None
        self._node = os.urandom(6).hex()
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def open(self) -> bool:
        """Connect; whether it could. It is not needed: the first request starts it too, and is counted as while Redis is down."""
        return await self._link.open()

    def decide(self, charges: Sequence[Charge]) -> Answer | Pending:
        if not self._link.is_up:
            self._link.wake()
            return self._without_redis(charges, self._link.cause)
        if len(self._gathered) >= _MAX_GATHERED:
            return self._without_redis(charges, "slower than what is asked of it")
        keys, arguments, lease = b"", _count(len(charges)), ""
        for key, bound in charges:
            known = self._encoded.get(key)
            if known is None or known[0] is not bound:
                known = self._encode(key, bound)
            keys += known[1]
            arguments += known[2]
            if bound.kind == "concurrent":
                lease = lease or f"{self._node}:{next(self._numbers)}"
                arguments += bulk(lease.encode())
        return self._gather(charges, keys, arguments, lease)

    async def look(self, charges: Sequence[Charge]) -> Left:
        asked = self.decide((*charges, NO_PLACE))
        if isinstance(asked, Answer):
            return asked.left[:-1]
        found: list[Answer] = []
        asked.then = found.append
        await asked.future
        return found[0].left[:-1]

    def _encode(self, key: str, bound: Bound) -> tuple[Bound, bytes, bytes]:
        """As RESP, remembered; without the lease, which is new each time."""
        arguments = bulk(_KINDS[bound.kind]) + bulk(b"%d" % bound.count)
        if bound.kind != "concurrent":
            arguments += bulk(repr(bound.interval_s * 1e6).encode())
        if len(self._encoded) >= _MAX_ENCODED:
            self._encoded.clear()
        made = self._encoded[key] = (bound, bulk(self._prefix + key.encode("utf-8", "replace")), arguments)
        return made

    def _gather(self, charges: Sequence[Charge], keys: bytes, arguments: bytes, lease: str) -> _Asked:
        """Sent when all that the event loop has in hand now has been looked at."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        asked = _Asked(loop.create_future(), charges, keys, arguments, lease)
        if not self._gathered:
            loop.call_soon(self._flush)
        self._gathered.append(asked)
        return asked

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), _PER_CALL):
            batch = gathered[start : start + _PER_CALL]
            keys = sum(len(asked.charges) for asked in batch)
            head = b"*%d\r\n" % (4 + 4 * keys + len(batch))
            parts = [head, _EVALSHA, bulk(b"%d" % keys), *[asked.keys for asked in batch], bulk(b"%d" % len(batch))]
            parts += [asked.arguments for asked in batch]
            self._link.send(b"".join(parts), partial(self._settle, batch))

    def _settle(self, batch: list[_Asked], reply: Any) -> None:
        if not isinstance(reply, list):
            self._failed(batch, reply)
            return
        at = 0
        for asked in batch:
            refused, wait, at = reply[at], reply[at + 1], at + 2
            left: Left
            if len(asked.charges) == 1:
                left = ((reply[at], reply[at + 1] / 1e6),)
                at += 2
            else:
                after = at + 2 * len(asked.charges)
                left = tuple([(reply[place], reply[place + 1] / 1e6) for place in range(at, after, 2)])
                at = after
            if asked.is_waited_for:
                held = self._held(asked) if asked.lease and not refused else None
                asked.settle(Answer(refused - 1, wait / 1e6, left, held))

    def _held(self, asked: _Asked) -> Held:
        keys = tuple(key for key, bound in asked.charges if bound.kind == "concurrent")
        self._leases[asked.lease] = keys
        self._plan_renewal()
        return Held(self, keys, asked.lease)

    def _failed(self, batch: list[_Asked], reply: Any) -> None:
        """Redis is down, or has forgotten the script (NOSCRIPT after SCRIPT FLUSH): then it gets it again."""
        if not isinstance(reply, Unavailable):
            self._link.send(_LOAD, _ignored)
        for asked in batch:
            if not asked.is_waited_for:
                continue
            try:
                answer = self._without_redis(asked.charges, str(reply))
            except Unavailable as error:
                asked.fail(error)
            else:
                asked.settle(answer)

    def _without_redis(self, charges: Sequence[Charge], cause: str) -> Answer:
        if self._when_down == "local":
            return self._local.decide(charges)
        raise Unavailable(f"limits can't be counted now: {self._link.where}: {cause}", code="limiter_unavailable")

    def give_back(self, held: Held) -> None:
        keys = self._leases.pop(held.lease, None)
        if keys and self._link.is_up:  # else the lease runs out by itself
            self._say(b"x", held.lease, keys)

    def _say(self, kind: bytes, lease: str, keys: tuple[str, ...]) -> None:
        """Something about a lease that nobody waits for."""
        one = bulk(kind) + bulk(b"0") + bulk(lease.encode())
        sent = b"".join(bulk(self._prefix + key.encode("utf-8", "replace")) for key in keys)
        charges = tuple((key, _NO_BOUND) for key in keys)
        self._gather(charges, sent, bulk(b"%d" % len(keys)) + one * len(keys), lease).is_waited_for = False

    def _plan_renewal(self) -> None:
        if self._renewal is None and self._leases:
            self._renewal = asyncio.get_running_loop().call_later(_RENEW_S, self._renew)

    def _renew(self) -> None:
        """Requests may be under way for longer than a lease; a node that died must not hold places for ever."""
        self._renewal = None
        if self._link.is_up:
            for lease, keys in self._leases.items():
                self._say(b"n", lease, keys)
        self._plan_renewal()

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        self._flush()  # places that were given back last
        await self._link.close()


_NO_BOUND = Bound("concurrent", 0)


_COUNTS = [bulk(b"%d" % number) for number in range(10)]


def _count(number: int) -> bytes:
    return _COUNTS[number] if number < 10 else bulk(b"%d" % number)


def _ignored(reply: Any) -> None:
    """If it fails, the next batch does too and asks again."""


def _conforms(limiter: RedisLimiter) -> Limiter:
    return limiter
