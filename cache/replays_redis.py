"""The replay store of all nodes, in Redis: one `SET … NX PX` a key, sent together with those that wait at the same time.

Redis must run without eviction (`maxmemory-policy noeviction`, its default): one that evicts would forget too early.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cache.redis_connection import RedisConnection
from cache.replays_memory import check_ttl
from core.cache import Replays
from core.errors import Limited, PlatformError, Unavailable
from core.supervise import Tasks

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LONGEST_BATCH = 256
_MOST_WAITING = 10_000


class _Question(NamedTuple):
    key: str
    ttl_s: float
    answer: asyncio.Future[bool]


class RedisReplays:
    """See core.cache.Replays. Redis down: each question ends with Unavailable, or is put to `fallback`, which knows only what this
    node has seen meanwhile. One batch is on its way at a time; of those that wait, more than 10,000 are refused (Unavailable)."""

    def __init__(self, connection: RedisConnection, *, prefix: str = "zhiyun:replay:", fallback: Replays | None = None) -> None:
        self._connection = connection
        self._prefix = prefix
        self._fallback = fallback
        self._tasks = Tasks(_is_told_to_its_askers)
        self._waiting: deque[_Question] = deque()
        self._is_sending = False

    def is_new(self, key: str, ttl_s: float) -> Awaitable[bool]:
        check_ttl(ttl_s)
        if len(self._waiting) >= _MOST_WAITING:
            raise Unavailable(f"{self._connection.where} is too slow: {_MOST_WAITING} nonces wait to be checked")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(key, ttl_s, answer))
        if not self._is_sending:
            self._is_sending = True
            self._tasks.spawn(
                self._send(), name="replays"
            )  # it starts in the loop's next round: all of this round are in its batch
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LONGEST_BATCH))]
                await self._ask([each for each in batch if not each.answer.done()])
        finally:
            self._is_sending = False

    async def _ask(self, batch: Sequence[_Question]) -> None:
        try:
            answers = await self._connection.call(lambda redis: self._set_all(redis, batch))
        except Unavailable as error:
            await self._ask_fallback(batch, error)
        except BaseException:  # closed meanwhile
            for each in batch:
                _fail(each, Unavailable("the replay store was closed"))
            raise
        else:
            for each, is_new in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(bool(is_new))

    async def _set_all(self, redis: "Redis", batch: Sequence[_Question]) -> list[object]:
        async with redis.pipeline(transaction=False) as pipe:
            for each in batch:
                pipe.set(self._prefix + each.key, b"", px=math.ceil(each.ttl_s * 1000), nx=True)
            answers: list[object] = await pipe.execute()
            return answers

    async def _ask_fallback(self, batch: Sequence[_Question], error: Unavailable) -> None:
        for each in batch:
            if self._fallback is None:
                _fail(each, Unavailable(error.detail))
                continue
            try:
                is_new = self._fallback.is_new(each.key, each.ttl_s)
                is_new = is_new if isinstance(is_new, bool) else await is_new
            except (Limited, Unavailable) as refused:
                _fail(each, refused)
            else:
                if not each.answer.done():
                    each.answer.set_result(is_new)

    async def close(self) -> None:
        await self._tasks.close()
        while self._waiting:
            _fail(self._waiting.popleft(), Unavailable("the replay store was closed"))
        await self._connection.close()


def _fail(question: _Question, error: PlatformError) -> None:
    if not question.answer.done():
        question.answer.set_exception(error)


def _is_told_to_its_askers(task: str, error: BaseException) -> None:
    """Everyone who waits gets the error; nobody else has to."""


def _conforms(connection: RedisConnection) -> Replays:
    return RedisReplays(connection)
