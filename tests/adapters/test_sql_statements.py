"""The resume condition, judged by SQLite: after each row come exactly the rows behind it, whatever is NULL or equal."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sql_statements import Dialect, Statements
from core.errors import InvalidInput
from core.schema import Dataset, Record

DIALECT = Dialect('"', '"', doubled='"', placeholder="?", datetime_placeholder="?", count="COUNT(*)")
DATASET = Dataset(object="t", key=("a", "b"), cursor="c", fields={"a": "integer", "c": "integer", "b": "text", "note": "text"})
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3), st.sampled_from("xyz")), unique_by=lambda row: (row[0], row[2])
)


@given(ROWS)
def test_from_each_row_the_rest_is_read_and_nothing_else(rows: list[tuple[int, int | None, str]]) -> None:
    statements = Statements(DIALECT, DATASET)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (a INTEGER, c INTEGER, b TEXT, note TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?, '')", rows)
        everything = database.execute(statements.read(None).sql).fetchall()
        assert len(everything) == len(rows)
        assert database.execute(statements.load().sql).fetchall() == sorted(everything, key=lambda row: (row[0], row[2]))
        for place, row in enumerate(everything, start=1):
            cursor = statements.cursor_of(row)
            after = statements.read(cursor)
            assert database.execute(after.sql, after.parameters).fetchall() == everything[place:]
            count = statements.count(cursor)
            assert database.execute(count.sql, count.parameters).fetchone() == (len(rows) - place,)


@given(ROWS)
def test_a_full_load_goes_on_after_its_key_and_increments_begin_at_a_value(rows: list[tuple[int, int | None, str]]) -> None:
    statements = Statements(DIALECT, DATASET)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (a INTEGER, c INTEGER, b TEXT, note TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?, '')", rows)
        loaded = database.execute(statements.load().sql).fetchall()
        for place, row in enumerate(loaded, start=1):
            after = statements.read({"full": {"after": statements.key_of(row), "high": None}})
            assert database.execute(after.sql, after.parameters).fetchall() == loaded[place:]
        in_order = database.execute(statements.read(None).sql).fetchall()
        for value in (None, *range(4)):
            since = statements.read({"cursor": value, "key": None})
            expected = [row for row in in_order if value is None or (row[1] is not None and row[1] >= value)]
            assert database.execute(since.sql, since.parameters).fetchall() == expected
        assert (highest := statements.highest()) is not None
        assert database.execute(highest.sql).fetchone() == (max((row[1] for row in rows if row[1] is not None), default=None),)


@pytest.mark.parametrize(
    ("dialect", "name", "quoted"),
    [
        (Dialect("[", "]", "]", "?", "?", ""), "odd]name", "[odd]]name]"),
        (Dialect("`", "`", "`%", "%s", "%s", ""), "100%`", "`100%%```"),
    ],
)
def test_an_identifier_can_not_end_its_quotes(dialect: Dialect, name: str, quoted: str) -> None:
    assert dialect.quote(name) == quoted


def test_an_object_without_schema_gets_the_default_one() -> None:
    key: Record = {"a": 1, "b": "x"}
    assert 'FROM "dbo"."t" WHERE "a" = ? AND "b" = ?' in Statements(DIALECT, DATASET, "dbo").fetch(key).sql
    named = Dataset(object="crm.t", key=("a",), fields={"a": "integer"})
    assert Statements(DIALECT, named, "dbo").delete(key).sql == 'DELETE FROM "crm"."t" WHERE "a" = ?'


def test_a_key_must_be_given_whole_and_declared() -> None:
    with pytest.raises(InvalidInput, match="b is not given"):
        Statements(DIALECT, DATASET).fetch({"a": 1})
    with pytest.raises(InvalidInput, match="number is in its key or cursor but not in its fields"):
        Statements(DIALECT, Dataset(object="t", key=("number",), fields={"a": "integer"}))
