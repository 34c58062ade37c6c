"""Nothing is lost whatever changes while a table is loaded and whenever a read is killed: a model, judged by SQLite."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sql_reading import Fetch, counts, transactions
from adapters.sql_statements import Dialect, Statement, Statements
from core.errors import InvalidInput
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset

DIALECT = Dialect('"', '"', doubled='"', placeholder="?", datetime_placeholder="?", count="COUNT(*)")
DATASET = Dataset(object="t", key=("a", "b"), cursor="c", fields={"a": "integer", "c": "integer", "b": "text", "note": "integer"})
STATEMENTS = Statements(DIALECT, DATASET)
KEYS = st.tuples(st.integers(0, 5), st.sampled_from("xy"))
ENDS = st.sampled_from(("goes on", "goes on", "goes on", "killed before", "killed after"))
Key = tuple[int, str]


class Table:
    """The source. Each change has a greater cursor value than any before, or during a full load the same as the last."""

    def __init__(self, database: sqlite3.Connection, rows: dict[Key, int | None]) -> None:
        self._database = database
        self._version = 0
        self._moment = max((moment for moment in rows.values() if moment is not None), default=0)
        database.execute("CREATE TABLE t (a INTEGER, c INTEGER, b TEXT, note INTEGER, PRIMARY KEY (a, b))")
        for (a, b), moment in rows.items():
            database.execute("INSERT INTO t VALUES (?, ?, ?, 0)", (a, moment, b))

    def change(self, key: Key, *, step: int) -> None:
        self._version += 1
        self._moment += step
        self._database.execute("INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?)", (key[0], self._moment, key[1], self._version))

    def delete(self, key: Key) -> None:
        self._database.execute("DELETE FROM t WHERE a = ? AND b = ?", key)

    def rows(self) -> list[Any]:
        return self._database.execute("SELECT * FROM t ORDER BY a, b").fetchall()

    def run(self, statement: Statement) -> list[Any]:
        return self._database.execute(statement.sql, statement.parameters).fetchall()


class Selecting:
    """Runs a SELECT either on a snapshot or, as without one, so that each batch shows what has changed before it was fetched."""

    def __init__(self, table: Table, *, batch_rows: int, is_snapshot: bool) -> None:
        self._table = table
        self._batch_rows = batch_rows
        self._is_snapshot = is_snapshot

    @asynccontextmanager
    async def __call__(self, highest: Statement | None, rows: Statement, /) -> AsyncIterator[tuple[Any, Fetch]]:
        high = None if highest is None else self._table.run(highest)[0][0]
        batches = self._batches(rows)

        async def fetch() -> list[Any]:
            return next(batches, [])

        yield high, fetch

    def _batches(self, rows: Statement) -> Iterator[list[Any]]:
        if self._is_snapshot:
            found = self._table.run(rows)
            yield from (found[at : at + self._batch_rows] for at in range(0, len(found), self._batch_rows))
            return
        limit, is_load = Statement(f" LIMIT {self._batch_rows}"), rows.sql.endswith('ORDER BY "a", "b"')
        while batch := self._table.run(rows + limit):
            yield batch
            key = STATEMENTS.key_of(batch[-1])
            rows = STATEMENTS.read({"full": {"after": key, "high": None}} if is_load else STATEMENTS.cursor_of(batch[-1]))


class Job:
    """What the exchange does: keeps the rows, then the checkpoint as JSON, unless it is killed in between."""

    def __init__(self, table: Table, select: Selecting) -> None:
        self.mirror: dict[Key, Any] = {}
        self.checkpoint: Cursor | None = None
        self._table = table
        self._select = select

    @property
    def is_loading(self) -> bool:
        return self.checkpoint is None or "full" in self.checkpoint

    async def run(self, draw: Any, *, is_disturbed: bool) -> int:
        """A run, until it ends or is killed; the number of its transactions."""
        count = 0
        async with aclosing(transactions(STATEMENTS, self.checkpoint, self._select)) as stream:
            async for transaction in stream:
                count += 1
                self._store(transaction)
                end = draw(ENDS) if is_disturbed else "goes on"
                if end != "killed before":
                    self.checkpoint = json.loads(json.dumps(transaction.cursor))
                if is_disturbed:
                    disturb(self._table, draw, step=0 if self.is_loading and draw(st.booleans()) else 1)
                if end != "goes on":
                    break
        return count

    def _store(self, transaction: Transaction) -> None:
        rows = cast(Rows, transaction.payload)
        assert list(rows.columns) == ["a", "c", "b", "note"]
        assert rows.rows
        self.mirror |= {(row[0], row[2]): row for row in rows.rows}


def disturb(table: Table, draw: Any, *, step: int) -> None:
    for key in draw(st.lists(KEYS, max_size=2)):
        table.change(key, step=step)
    for key in draw(st.lists(KEYS, max_size=1)):
        table.delete(key)


@contextmanager
def table_of(rows: dict[Key, int | None]) -> Iterator[Table]:
    database = sqlite3.connect(":memory:")
    try:
        yield Table(database, rows)
    finally:
        database.close()


@settings(max_examples=250)
@given(
    rows=st.dictionaries(KEYS, st.none() | st.integers(0, 3), min_size=4),
    batch_rows=st.integers(1, 3),
    is_snapshot=st.booleans(),
    data=st.data(),
)
@pytest.mark.req("0.27")
async def test_no_row_is_lost(rows: dict[Key, int | None], batch_rows: int, is_snapshot: bool, data: st.DataObject) -> None:
    with table_of(rows) as table:
        job = Job(table, Selecting(table, batch_rows=batch_rows, is_snapshot=is_snapshot))
        for _ in range(data.draw(st.integers(1, 4))):
            await job.run(data.draw, is_disturbed=True)
            if data.draw(st.booleans()):
                disturb(table, data.draw, step=1)
        while await job.run(data.draw, is_disturbed=False):
            pass
        assert [job.mirror[row[0], row[2]] for row in table.rows()] == table.rows()


async def read(table: Table, cursor: Cursor | None, *, batch_rows: int = 2) -> tuple[list[list[int]], list[Cursor | None]]:
    """The first key field of each row of each transaction, and the cursors."""
    select = Selecting(table, batch_rows=batch_rows, is_snapshot=True)
    taken = [transaction async for transaction in transactions(STATEMENTS, cursor, select)]
    return [[row[0] for row in cast(Rows, each.payload).rows] for each in taken], [each.cursor for each in taken]


async def test_the_last_transaction_of_a_full_load_carries_the_cursor_of_the_increment() -> None:
    with table_of({(1, "x"): 9, (2, "x"): 1, (3, "x"): None, (4, "x"): 5}) as table:
        rows, cursors = await read(table, None)
        assert rows == [[1, 2], [3, 4]]
        assert cursors == [{"full": {"after": [2, "x"], "high": 9}}, {"cursor": 9, "key": None}]
        assert await read(table, cursors[-1]) == ([[1]], [{"cursor": 9, "key": [1, "x"]}])
        assert await read(table, {"cursor": 9, "key": [1, "x"]}) == ([], [])


async def test_a_resumed_full_load_keeps_its_high_and_goes_on_with_the_increment() -> None:
    with table_of({(number, "x"): 10 - number for number in range(1, 5)}) as table:
        _, (cursor, *_) = await read(table, None)
        table.change((1, "x"), step=1)
        rows, cursors = await read(table, cursor)
        assert rows == [[3, 4], [1]]
        assert cursors == [{"cursor": 9, "key": None}, {"cursor": 10, "key": [1, "x"]}]
        assert [table.run(count) for count in counts(STATEMENTS, cursor)] == [[(2,)], [(1,)]]


async def test_a_full_load_of_which_no_row_is_left_still_ends() -> None:
    with table_of({(1, "x"): 1, (2, "x"): 1, (3, "x"): 1}) as table:
        _, (cursor, *_) = await read(table, None)
        table.delete((3, "x"))
        table.change((2, "x"), step=1)
        assert await read(table, cursor) == ([[1, 2]], [{"cursor": 2, "key": [2, "x"]}])


async def test_an_empty_table_leaves_no_checkpoint() -> None:
    with table_of({}) as table:
        assert await read(table, None) == ([], [])


async def test_a_checkpoint_of_a_full_load_does_not_fit_a_dataset_that_has_no_cursor_field() -> None:
    statements = Statements(DIALECT, Dataset(object="t", key=("a",), fields={"a": "integer"}))
    with table_of({}) as table:
        reading = transactions(statements, {"full": {"after": [1], "high": 1}}, Selecting(table, batch_rows=1, is_snapshot=True))
        with pytest.raises(InvalidInput, match="reset the job"):
            await anext(reading)
