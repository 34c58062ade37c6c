"""What every implementation of core.database.Database must do. A test module makes `database` a fixture and inherits."""

import asyncio

import pytest

from core.database import Database, Session
from core.errors import Conflict, Unavailable

_AWKWARD = 'a `b` "c" ? % \'d'


async def make_table(database: Database) -> None:
    """`t (id key, n integer, b blob)`."""
    column = database.dialect.column
    async with database.transaction() as session:
        await session.execute(f"CREATE TABLE t (id {column('key')} PRIMARY KEY, n {column('integer')}, b {column('blob')})")


async def ids(database: Database) -> list[str]:
    return [row[0] for row in await database.query("SELECT id FROM t ORDER BY id")]


async def insert(database: Database, *names: str, then: type[Exception] | None = None) -> None:
    """All of them in one transaction, which fails by `then`."""
    async with database.transaction() as session:
        for name in names:
            await session.execute("INSERT INTO t (id) VALUES (?)", (name,))
        if then is not None:
            raise then


class DatabaseSuite:
    """`database` is empty at the start of each test."""

    async def test_values_come_back_as_they_were(self, database: Database) -> None:
        await make_table(database)
        rows = [("张三 𠮷 %s ?", -(2**63), b"\x00\xff"), ("it's \"\\", 2**63 - 1, b""), ("null", None, None)]
        async with database.transaction() as session:
            assert await session.executemany("INSERT INTO t (id, n, b) VALUES (?, ?, ?)", rows) == 3
        assert sorted(await database.query("SELECT id, n, b FROM t")) == sorted(rows)

    async def test_any_name_is_allowed_when_quoted(self, database: Database) -> None:
        q, column = database.dialect.quote, database.dialect.column
        async with database.transaction() as session:
            await session.execute(f"CREATE TABLE {q(_AWKWARD)} ({q('select ?')} {column('integer')})")
            await session.execute(f"INSERT INTO {q(_AWKWARD)} ({q('select ?')}) VALUES (?)", (7,))
        assert await database.query(f"SELECT {q('select ?')} FROM {q(_AWKWARD)} WHERE {q('select ?')} = ?", (7,)) == [(7,)]

    async def test_keys_differ_by_case_and_accent_and_order_byte_by_byte(self, database: Database) -> None:
        await make_table(database)
        async with database.transaction() as session:
            await session.executemany("INSERT INTO t (id) VALUES (?)", [("b",), ("B",), ("é",), ("e",), ("張",)])
        assert await ids(database) == ["B", "b", "e", "é", "張"]

    async def test_what_raises_is_rolled_back(self, database: Database) -> None:
        await make_table(database)
        with pytest.raises(TypeError):
            await insert(database, "lost", then=TypeError)
        assert await ids(database) == []

    async def test_a_duplicate_key_is_a_conflict_and_rolls_all_back(self, database: Database) -> None:
        await make_table(database)
        await insert(database, "a")
        with pytest.raises(Conflict):
            await insert(database, "b", "a")
        assert await ids(database) == ["a"]

    async def test_a_conflict_that_is_caught_inside_leaves_the_rest(self, database: Database) -> None:
        await make_table(database)
        await insert(database, "a")
        async with database.transaction() as session:
            await session.execute("INSERT INTO t (id) VALUES (?)", ("b",))
            with pytest.raises(Conflict):
                await session.execute("INSERT INTO t (id) VALUES (?)", ("a",))
        assert await ids(database) == ["a", "b"]

    async def test_a_reader_sees_what_is_committed_and_waits_for_nobody(self, database: Database) -> None:
        await make_table(database)
        async with database.transaction() as session:
            await session.execute("INSERT INTO t (id) VALUES (?)", ("a",))
            assert await asyncio.wait_for(ids(database), 30) == []
            assert await session.query("SELECT id FROM t") == [("a",)]
        assert await ids(database) == ["a"]

    async def test_a_cancelled_transaction_does_not_block_the_next(self, database: Database) -> None:
        await make_table(database)
        is_inside = asyncio.Event()

        async def hang(session: Session) -> None:
            await session.execute("INSERT INTO t (id) VALUES (?)", ("lost",))
            is_inside.set()
            await asyncio.Event().wait()

        async def transact() -> None:
            async with database.transaction() as session:
                await hang(session)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(transact())
            await is_inside.wait()
            task.cancel()
        await asyncio.wait_for(insert(database, "next"), 30)
        assert await ids(database) == ["next"]

    async def test_cancelled_at_any_moment_the_next_still_runs(self, database: Database) -> None:
        """Cut off before, inside and after the statements: whole or not at all, and never in the way."""
        await make_table(database)

        async def pair(n: int) -> None:
            async with database.transaction() as session:
                await session.execute("INSERT INTO t (id, n) VALUES (?, ?)", (f"{n}a", n))
                await session.execute("INSERT INTO t (id, n) VALUES (?, ?)", (f"{n}b", n))

        for n in range(25):
            try:
                async with asyncio.timeout(n * 0.0004):
                    await pair(n)
            except TimeoutError:
                continue
        await asyncio.wait_for(pair(99), 30)
        counts = await database.query("SELECT n, count(*) FROM t GROUP BY n")
        assert {count for _, count in counts} == {2}

    async def test_a_cancelled_query_does_not_disturb_the_next(self, database: Database) -> None:
        await make_table(database)
        for n in range(15):
            try:
                async with asyncio.timeout(n * 0.0003):
                    await database.query("SELECT ?", (n,))
            except TimeoutError:
                continue
        assert [await database.query("SELECT ?", (n,)) for n in range(10)] == [[(n,)] for n in range(10)]

    async def test_overlapping_counters_lose_no_increment(self, database: Database) -> None:
        await make_table(database)
        await insert(database, "counter")

        async def increment() -> None:
            async with database.transaction() as session:
                await session.execute("UPDATE t SET n = coalesce(n, 0) + 1 WHERE id = ?", ("counter",))

        await asyncio.gather(*(increment() for _ in range(30)))
        assert await database.query("SELECT n FROM t") == [(30,)]

    async def test_upsert_sets_the_other_columns(self, database: Database) -> None:
        await make_table(database)
        sql = database.dialect.upsert("t", ("id", "n"), ("id",))
        async with database.transaction() as session:
            await session.execute(sql, ("a", 1))
            await session.execute(sql, ("a", 2))
        assert await database.query("SELECT id, n FROM t") == [("a", 2)]

    async def test_an_index_may_be_made_twice(self, database: Database) -> None:
        await make_table(database)
        async with database.transaction() as session:
            for _ in range(2):
                await session.execute(database.dialect.index("t", "n", "integer"))

    async def test_it_answers_until_it_is_closed(self, database: Database) -> None:
        await database.check()
        await database.close()
        with pytest.raises(Unavailable):
            await database.check()
        await database.close()
