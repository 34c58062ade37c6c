"""Locks that grow, in a table that does not."""

import pytest

from core.database import Database
from core.errors import Limited
from registry.login_attempts import LoginAttempts, lock_s


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


def test_locks_grow_to_a_quarter_of_an_hour() -> None:
    assert [lock_s(n) for n in range(1, 11)] == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32]
    assert lock_s(20) == lock_s(10**9) == 900


async def test_made_up_names_neither_fill_the_table_nor_push_out_an_account(database: Database) -> None:
    attempts = LoginAttempts(database)
    async with database.transaction() as session:
        await attempts.make_table(session)
        rows = [(f"made-up-{n}", 1, 9_000_000 + n, 0) for n in range(1_500)]
        columns = "name, failures, locked_until_ms, is_known"
        await session.executemany(f"INSERT INTO login_attempt ({columns}) VALUES (?, ?, ?, ?)", rows)
    for _ in range(6):
        await attempts.begin("li", is_known=True, now_ms=0)
    for n in range(10):
        await attempts.begin(f"another-{n}", is_known=False, now_ms=10_000_000)
    assert await database.query("SELECT count(*) FROM login_attempt") == [(1_001,)]
    with pytest.raises(Limited, match="try again in 2 s"):
        await attempts.begin("li", is_known=True, now_ms=0)
