"""The limiter in a real Redis: exact over nodes, cheap for its node, and honest when Redis is down."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cache.gcra import count_bound
from cache.limiter_memory import MemoryLimiter
from cache.limiter_redis import RedisLimiter, WhenDown
from core.cache import Answer, Bound
from core.errors import Unavailable
from tests.conformance.limiter_suite import LimiterConformance, decided, passed, rate, until, until_admitted
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.servers


@pytest.fixture
async def limiter(redis_url: str) -> AsyncIterator[RedisLimiter]:
    limiter = await _opened(redis_url)
    yield limiter
    await limiter.close()


async def _opened(url: str, when_down: WhenDown = "local") -> RedisLimiter:
    limiter = RedisLimiter(url, MemoryLimiter(), when_down=when_down, timeout_s=5.0)
    assert await limiter.open()
    return limiter


class TestRedisLimiter(LimiterConformance):
    pass


async def test_eight_nodes_together_pass_exactly_what_each_bound_allows(redis_url: str) -> None:
    nodes = [await _opened(redis_url) for _ in range(8)]
    charges = (("app", rate(0.01, 237)), ("app|day", count_bound("day", 200)), ("app|month", count_bound("month", 150)))

    async def client(node: RedisLimiter) -> int:
        return sum([(await decided(node, *charges)).refused < 0 for _ in range(40)])

    assert sum(await asyncio.gather(*(client(node) for node in nodes))) == 150
    left = (await decided(nodes[0], charges[0])).left[0][0]
    assert left == 237 - 150 - 1  # no refused request was charged to the rate
    for node in nodes:
        await node.close()


@pytest.mark.parametrize("when_down", ["local", "refuse"])
async def test_redis_killed_under_load_and_back(redis_server: RedisServer, redis_url: str, when_down: WhenDown) -> None:
    """Every request gets an answer: counted here, or a 503; then all nodes count together again."""
    nodes = [await _opened(redis_url, when_down) for _ in range(2)]
    bound, is_over = rate(1e6, 1_000_000), asyncio.Event()
    outcomes: Counter[str] = Counter()

    async def client(node: RedisLimiter) -> None:
        while not is_over.is_set():
            try:
                outcome = str((await decided(node, ("busy", bound))).refused)
            except Unavailable as error:
                outcome = error.specific_code
            outcomes[outcome] += 1
            await asyncio.sleep(0.001)

    clients = [asyncio.ensure_future(client(node)) for node in nodes for _ in range(8)]
    await until(lambda: outcomes["-1"] > 100)
    redis_server.kill()
    before = outcomes.total()
    await until(lambda: outcomes.total() > before + 200)
    is_over.set()
    await asyncio.gather(*clients)
    assert set(outcomes) <= {"-1", "limiter_unavailable"}
    assert ("limiter_unavailable" in outcomes) == (when_down == "refuse")
    redis_server.start()
    await until(lambda: all(node.is_up for node in nodes))
    answers = [await decided(node, ("fresh", rate(0.01, 7))) for _ in range(5) for node in nodes]
    assert sum(answer.refused < 0 for answer in answers) == 7
    for node in nodes:
        await node.close()


async def test_a_redis_that_never_was_there_refuses_nobody(free_port: int) -> None:
    limiter = RedisLimiter(f"redis://127.0.0.1:{free_port}/0", MemoryLimiter())
    answers = [await decided(limiter, ("app", rate(0.1, 2))) for _ in range(3)]
    assert [answer.refused for answer in answers] == [-1, -1, 0]  # this node's own count still protects what is behind it
    await limiter.close()


async def test_a_redis_that_hangs_costs_each_request_its_time_once(redis_server: RedisServer, redis_url: str) -> None:
    limiter = RedisLimiter(redis_url, MemoryLimiter(), timeout_s=0.5)
    await until_up(limiter)
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(decided(limiter, ("app", rate(0.01, 2))) for _ in range(3)))
        assert [answer.refused for answer in answers] == [-1, -1, 0]
        at_once = limiter.decide((("app", rate(0.01, 2)),))
        assert isinstance(at_once, Answer), "nobody waits for it any more"
        assert at_once.refused == 0
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await limiter.close()


async def until_up(limiter: RedisLimiter) -> None:
    """It connects by itself where the first attempt was too slow."""
    await limiter.open()
    await until(lambda: limiter.is_up)


async def test_a_script_that_redis_forgot_is_sent_again(redis_url: str, limiter: RedisLimiter) -> None:
    connection = Redis.from_url(redis_url)
    await connection.script_flush()
    assert (await decided(limiter, ("app", rate(0.1, 2)))).refused < 0  # by this node's own count
    answers = [await decided(limiter, ("app", rate(0.1, 2))) for _ in range(3)]
    assert [answer.refused for answer in answers] == [-1, -1, 0]
    assert await connection.dbsize() == 1
    await connection.aclose()


async def test_keys_leave_redis_when_they_say_nothing_any_more(redis_url: str, limiter: RedisLimiter) -> None:
    connection = Redis.from_url(redis_url)
    answer = await decided(limiter, ("app", rate(0.5, 2)), ("d", count_bound("day", 2)), ("c", count_bound("concurrent", 2)))
    assert await connection.dbsize() == 3
    assert answer.held is not None
    limiter.give_back(answer.held)
    await decided(limiter, ("other", rate(1e4, 1)))
    day = b"{zhiyun:limits}:d"
    async with asyncio.timeout(60):
        while await connection.keys("*") != [day]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert 0 < await connection.ttl(day) <= 86_400
    await connection.aclose()


async def test_places_of_a_node_that_died_come_free_and_those_of_long_requests_stay(redis_url: str) -> None:
    """A lease is 60 s on Redis's clock: the dead node's entries are made as old as that."""
    dead, alive = await _opened(redis_url), await _opened(redis_url)
    charge = ("c", count_bound("concurrent", 2))
    assert (await decided(dead, charge)).held
    assert (await decided(alive, charge)).held
    connection = Redis.from_url(redis_url)
    await _age(connection, 61_000)
    alive._renew()  # what its timer does every 20 s
    await decided(alive, ("other", rate(1.0, 1)))
    answers = [await decided(alive, charge) for _ in range(2)]
    assert [answer.refused for answer in answers] == [-1, 0]
    for each in (dead, alive):
        await each.close()
    await connection.aclose()


async def _age(redis: Redis, by_ms: int) -> None:
    key = b"{zhiyun:limits}:c"
    for member, _ in await redis.zrange(key, 0, -1, withscores=True):  # type: ignore[str-unpack]
        await redis.zincrby(key, -by_ms, member)


async def test_a_client_that_left_while_it_was_decided_holds_no_place(limiter: RedisLimiter) -> None:
    charge = ("c", count_bound("concurrent", 1))
    pending = limiter.decide((charge,))
    assert not isinstance(pending, Answer)
    pending.future.cancel()
    pending.then = lambda answer: limiter.give_back(answer.held) if answer.held else None
    await until_admitted(limiter, charge)


async def test_those_who_ask_at_once_cost_redis_one_call(redis_url: str, limiter: RedisLimiter) -> None:
    charges: tuple[tuple[str, Bound], ...] = (("a|app", rate(1e6, 1_000_000)),)

    async def client() -> None:
        for _ in range(50):
            await decided(limiter, *charges)

    connection = Redis.from_url(redis_url)
    await connection.config_resetstat()
    await asyncio.gather(*(client() for _ in range(64)))
    used = await connection.info("commandstats")
    await connection.aclose()
    assert used["cmdstat_evalsha"]["calls"] <= 2 * 50, "of 3200 requests, 64 at a time"


@pytest.mark.parametrize("when_down", ["local", "refuse"])
async def test_a_look_sees_all_nodes_and_what_this_one_counts_without_redis(
    redis_server: RedisServer, redis_url: str, when_down: WhenDown
) -> None:
    first, second = await _opened(redis_url, when_down), await _opened(redis_url, when_down)
    charges = [("d", count_bound("day", 9)), ("c", count_bound("concurrent", 4))]
    assert await passed(first, charges, 3) == 3
    assert [left for left, _ in await second.look(charges)] == [6, 1]
    connection = Redis.from_url(redis_url)
    assert sorted(await connection.keys("*")) == [b"{zhiyun:limits}:c", b"{zhiyun:limits}:d"]
    await connection.aclose()
    redis_server.kill()
    await until(lambda: not second.is_up)
    if when_down == "local":
        assert [left for left, _ in await second.look(charges)] == [9, 4]
    else:
        with pytest.raises(Unavailable, match="limits can't be counted"):
            await second.look(charges)
    redis_server.start()
    for node in (first, second):
        await node.close()
