"""The pool on real SQLite connections: one thread each, replaced when they broke."""

import asyncio
import sqlite3
import threading
from typing import Any

import pytest

from adapters.sql_pool import CONNECTION_LOST, Pool
from core.errors import NotConnected, NotFound, Unavailable


def connect() -> Any:
    return sqlite3.connect(":memory:")  # refuses to be used by any other thread


def thread_id(connection: Any) -> int:
    connection.execute("SELECT 1").fetchone()
    return threading.get_ident()


async def test_connections_are_kept_and_each_stays_in_its_thread() -> None:
    pool = Pool(connect, size=3)
    first = await pool.run(thread_id)
    assert await pool.run(thread_id) == first
    several = await asyncio.gather(*(pool.run(thread_id) for _ in range(12)))
    assert 1 <= len(set(several)) <= 3
    await pool.close()


async def test_an_idle_connection_that_broke_is_replaced_and_the_work_done_again() -> None:
    pool = Pool(connect, size=1)
    first = await pool.run(thread_id)
    broken: list[int] = []

    def work(connection: Any) -> int:
        if not broken:
            broken.append(threading.get_ident())
            raise Unavailable("gone", code=CONNECTION_LOST)
        return thread_id(connection)

    assert await pool.run(work) != first or broken == [first]
    await pool.close()


async def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    pool = Pool(connect, size=1)

    def work(connection: Any) -> None:
        raise Unavailable("gone", code=CONNECTION_LOST)

    with pytest.raises(Unavailable):
        await pool.run(work)
    assert await pool.run(thread_id)
    await pool.close()


async def test_a_statement_that_was_refused_costs_no_connection() -> None:
    pool = Pool(connect, size=1)
    first = await pool.run(lambda connection: id(connection))

    def work(connection: Any) -> None:
        raise NotFound("no such table")

    with pytest.raises(NotFound):
        await pool.run(work)
    assert await pool.run(lambda connection: id(connection)) == first
    await pool.close()


async def test_a_cancelled_call_is_interrupted_and_its_connection_not_used_again() -> None:
    pool = Pool(connect, size=1)
    release, started = threading.Event(), threading.Event()
    async with pool.started(id) as (_, first):
        pass

    def work(connection: Any) -> None:
        started.set()
        release.wait(60)

    task = asyncio.ensure_future(pool.run(work))
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(pool.run(id), 30) != first  # while the thread of the first is still busy
    release.set()
    await pool.close()


async def test_after_close_nothing_is_connected_again() -> None:
    pool = Pool(connect, size=1)
    await pool.run(thread_id)
    await pool.close()
    await pool.close()
    with pytest.raises(NotConnected):
        await pool.run(thread_id)
