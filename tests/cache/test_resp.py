"""The raw connection: logins, databases, commands in order, and what it says when Redis is gone."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from cache.resp import RedisLink, packed
from core.errors import ConfigError, Unavailable
from tests.conformance.limiter_suite import until
from tests.servers.redis import RedisServer


def test_a_command_as_redis_reads_it() -> None:
    assert packed(b"SET", b"k", b"a\r\nb") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"


@pytest.mark.parametrize("url", ["http://localhost", "redis://", "redis://localhost/one"])
def test_a_url_that_names_no_redis(url: str) -> None:
    with pytest.raises(ConfigError):
        RedisLink(url)


async def _ask(link: RedisLink, *parts: bytes) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    link.send(packed(*parts), future.set_result)
    return await future


@pytest.mark.servers
async def test_replies_come_in_order_and_a_database_is_chosen(redis_url: str) -> None:
    link = RedisLink(redis_url.removesuffix("/0") + "/3", timeout_s=5.0)
    assert await link.open()
    replies = await asyncio.gather(*(_ask(link, b"ECHO", b"%d" % number) for number in range(1_000)))
    assert replies == [b"%d" % number for number in range(1_000)]
    await _ask(link, b"SET", b"here", b"1")
    connection = Redis.from_url(redis_url)
    assert await connection.get("here") is None
    assert isinstance(await _ask(link, b"NONSENSE"), Exception)
    await connection.aclose()
    await link.close()


@pytest.mark.servers
async def test_a_login_is_sent_and_a_wrong_one_is_said_without_the_password(redis_url: str) -> None:
    connection = Redis.from_url(redis_url)
    await connection.acl_setuser("gate", enabled=True, passwords=["+s3cret"], commands=["+@all"], keys=["*"])
    place = redis_url.removeprefix("redis://")
    right, wrong = (RedisLink(f"redis://gate:{password}@{place}", timeout_s=5.0) for password in ("s3cret", "n0tit"))
    assert await right.open()
    assert await _ask(right, b"ACL", b"WHOAMI") == b"gate"
    assert not await wrong.open()
    assert "WRONGPASS" in wrong.cause
    assert "n0tit" not in wrong.cause
    for each in (right, wrong):
        await each.close()
    await connection.acl_deluser("gate")
    await connection.aclose()


@pytest.mark.servers
async def test_those_who_wait_hear_that_redis_died_and_it_comes_back_by_itself(redis_server: RedisServer, redis_url: str) -> None:
    link = RedisLink(redis_url, timeout_s=5.0)
    assert await link.open()
    waiting = [asyncio.ensure_future(_ask(link, b"BLPOP", b"nothing", b"0")) for _ in range(3)]
    await asyncio.sleep(0.05)
    redis_server.kill()
    replies = await asyncio.gather(*waiting)
    assert all(isinstance(reply, Unavailable) and str(redis_server.port) in reply.detail for reply in replies)
    assert isinstance(await _ask(link, b"PING"), Unavailable)
    redis_server.start()
    await until(lambda: link.is_up)
    assert await _ask(link, b"PING") == b"PONG"
    await link.close()
    assert isinstance(await _ask(link, b"PING"), Unavailable)


async def test_what_answers_nonsense_is_no_redis(free_port: int) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", free_port)
    link = RedisLink(f"redis://127.0.0.1:{free_port}", prepare=(packed(b"PING"),))
    assert not await link.open()
    assert "no answer" in link.cause or "what is no" in link.cause
    await link.close()
    server.close()
    await server.wait_closed()
