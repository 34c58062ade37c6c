"""How the relational adapters read: which SELECT, and the cursor of each transaction. Knows no driver.

1. `{"full": {"after": [key …], "high": value}}`: a full load is under way, in the order of the key; `high` is the greatest cursor
   value (or null) from before it began, so that whatever changes meanwhile has this value or a greater one.
2. `{"cursor": high, "key": null}`: it has ended. Rows from `high` on are next, those equal to it once more; null: every row.
3. `{"cursor": value, "key": [key …]}`: an increment; 4. `{"key": [key …]}`: a dataset without cursor field.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from adapters.sql_statements import Statement, Statements
from adapters.sql_values import json_safe
from core.clock import epoch_ms
from core.records import Cursor, Rows, Transaction

Fetch: TypeAlias = Callable[[], Awaitable[list[Any]]]
"""The next rows of a running SELECT, at most a batch; none at its end, however often it is asked."""


class Select(Protocol):
    """An adapter's way to run a SELECT."""

    def __call__(self, highest: Statement | None, rows: Statement, /) -> AbstractAsyncContextManager[tuple[Any, Fetch]]:
        """Ask for the one value of `highest` (None where it is not given), and only then start `rows`.

        Left early, the block ends the SELECT and gives back its connection.
        """
        ...


async def transactions(statements: Statements, cursor: Cursor | None, select: Select) -> AsyncGenerator[Transaction, None]:
    """Read from the cursor to the end, at most two batches in memory. Raises InvalidInput for a cursor of another shape."""
    for place in _places(cursor):
        observed_ms = epoch_ms()
        async with select(*_statements_of(statements, place)) as (highest, fetch):
            high = json_safe(highest) if place is None or "full" not in place else place["full"]["high"]
            rows = await fetch()
            while rows:
                following = await fetch()  # a batch ahead, never in parallel: only so it is known which one is the last
                reached = _reached(statements, place, high, rows[-1], is_last=not following)
                yield Transaction(Rows(statements.columns, rows), reached, observed_ms)
                rows = following


def counts(statements: Statements, cursor: Cursor | None) -> Iterator[Statement]:
    """Their answers add up to the number of rows that `transactions` would give."""
    return map(statements.count, _places(cursor))


def _places(cursor: Cursor | None) -> Iterator[Cursor | None]:
    """Where to read one after the other.

    A resumed full load goes on with its increment at once: the rows before `after` were read by an earlier run, and a run
    promises that at its end nothing is older than its start.
    """
    yield cursor
    if cursor is not None and "full" in cursor:
        yield _ended(cursor["full"]["high"])


def _statements_of(statements: Statements, place: Cursor | None) -> tuple[Statement | None, Statement]:
    return (statements.highest(), statements.load()) if place is None else (None, statements.read(place))


def _reached(statements: Statements, place: Cursor | None, high: Any, last_row: Any, *, is_last: bool) -> Cursor:
    is_load = statements.highest() is not None and (place is None or "full" in place)
    if not is_load:
        return statements.cursor_of(last_row)
    return _ended(high) if is_last else {"full": {"after": statements.key_of(last_row), "high": high}}


def _ended(high: Any) -> Cursor:
    return {"cursor": high, "key": None}
