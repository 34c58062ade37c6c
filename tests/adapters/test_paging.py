"""Positions of paged reads as values: whatever the page size and wherever a read breaks off, no record is lost."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.paging import Circle, Order, Page, Progress, at_path, later, read_pages, records_at
from core.errors import InvalidInput, Unavailable
from core.records import Cursor, Rows, Transaction

RECORDS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), unique_by=lambda record: record[1], max_size=20)


def source(records: list[tuple[int, int]], order: Order, size: int) -> Any:
    """A service with (change, key) records in that order, exclusive in `since` and `after` together or in `since` alone."""

    async def ask(progress: Progress) -> Page:
        if order == "cursor":
            mark = (-1 if progress.since is None else progress.since, -1 if progress.after is None else progress.after)
            found = sorted(record for record in records if record > mark)
        else:
            changed = sorted((record for record in records if record[0] >= (progress.since or 0)), key=lambda record: record[1])
            after = -1 if progress.after is None else progress.after
            found = [record for record in changed if record[1] > after]
            found = changed[progress.records :] if order == "none" else found
        return Page([{"at": at, "n": n} for at, n in found[:size]], 1)

    return ask


async def transactions(
    records: list[tuple[int, int]], order: Order, size: int, cursor: Cursor | None, stop_after: int | None = None
) -> list[Transaction]:
    def mark(record: Mapping[str, Any]) -> tuple[Any, Any]:
        return record["at"], record["n"]

    def rows(found: Any) -> Rows:
        return Rows(("at", "n"), [mark(record) for record in found])

    taken = []
    progress = Progress(cursor, order, asked=size, is_keyed=order != "none")
    async with aclosing(cast(Any, read_pages(source(records, order, size), progress, mark, rows, 3))) as stream:
        async for transaction in stream:
            taken.append(transaction)
            if len(taken) == stop_after:
                break
    return taken


def seen(found: list[Transaction]) -> list[tuple[int, int]]:
    return [row for transaction in found for row in transaction.payload.rows]  # type: ignore[union-attr,misc]


@given(RECORDS, st.sampled_from(["cursor", "key", "none"]), st.integers(1, 7), st.integers(1, 5))
async def test_a_read_that_breaks_off_anywhere_goes_on_without_loss(
    records: list[tuple[int, int]], order: Order, size: int, stop_after: int
) -> None:
    whole = await transactions(records, order, size, None)
    assert sorted(seen(whole)) == sorted(records)
    before = await transactions(records, order, size, None, stop_after)
    rest = await transactions(records, order, size, before[-1].cursor, None) if before else []
    assert set(seen(before)) | set(seen(rest)) == set(records)


@given(RECORDS, RECORDS, st.sampled_from(["cursor", "key", "none"]), st.integers(1, 7))
async def test_later_changes_come_with_the_next_read(
    records: list[tuple[int, int]], news: list[tuple[int, int]], order: Order, size: int
) -> None:
    first = await transactions(records, order, size, None)
    newer = [(at + 10, n) for at, n in news]
    changed = [record for record in records if record[1] not in {n for _, n in newer}] + newer
    second = await transactions(changed, order, size, first[-1].cursor if first else None)
    assert set(newer) <= set(seen(second))


async def test_a_moment_that_fills_a_page_of_a_source_without_keys_is_an_error() -> None:
    progress = Progress(None, "cursor", asked=2, is_keyed=False)
    assert progress.advance([("t", 1), ("t", 2)]) is False
    with pytest.raises(Unavailable, match="more than 2 records changed in one moment"):
        progress.advance([("t", 1), ("t", 2)])


def _page(number: int) -> list[Mapping[str, Any]]:
    return [{"n": number}]


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_circle_is_noticed_after_three_times_its_pages_at_most(way: int, length: int) -> None:
    circle = Circle()
    pages = [number if number < way else way + (number - way) % length for number in range(3 * (way + length) + 2)]
    closed = [number for number, page in enumerate(pages) if circle.closes(_page(page))]
    assert closed, "not noticed"
    assert closed[0] >= way + length, "a page that had not come before"


def test_a_list_of_different_pages_and_empty_ones_is_no_circle() -> None:
    circle = Circle()
    assert not any(circle.closes(_page(number)) or circle.closes([]) for number in range(3_000))


async def test_a_service_that_gives_its_first_page_for_ever_is_an_error() -> None:
    async def ask(_: Progress) -> Page:
        return Page([{"at": 1, "n": 1}], 1)

    progress = Progress(None, "none", asked=1, is_keyed=False)
    with pytest.raises(Unavailable, match="goes round in a circle: page 2 has come before"):
        async for _ in read_pages(ask, progress, lambda record: (record["at"], record["n"]), lambda _: Rows(("n",), []), 3):
            pass


def test_the_last_moment_given_once_more_is_the_end() -> None:
    progress = Progress(None, "cursor", asked=10, is_keyed=False)
    assert progress.advance([("s", 1), ("t", 2), ("t", 3)]) is False
    assert progress.advance([("t", 2), ("t", 3)]) is True
    assert progress.end() == {"since": "t"}


@pytest.mark.parametrize(
    ("less", "greater"),
    [
        (None, 1),
        (9, 10),
        ("9", "10"),
        (Decimal("1.10"), "1.2"),
        ("2024-05-10T08:00:00+08:00", "2024-05-10T01:00:00+00:00"),
        ("2024-05-10T08:00:00+08:00", datetime(2024, 5, 10, 1, tzinfo=UTC)),
        ("V2 a", "V2 b"),
    ],
)
def test_later_compares_numbers_moments_and_text(less: Any, greater: Any) -> None:
    assert later(less, greater) == greater
    assert later(greater, less) == greater


def test_paths_in_answers() -> None:
    answer = {"a": {"b": [{"n": 1}]}, "one": {"n": 2}}
    assert at_path(answer, "a.b") == [{"n": 1}]
    assert at_path(answer, "a.x.y") is None
    assert records_at(answer, "a.b", "x") == [{"n": 1}]
    assert records_at(answer, "one", "x") == [{"n": 2}]
    assert records_at(answer, "nothing", "x") == []
    with pytest.raises(Unavailable, match=r"x: expected a list of records at 'a\.b\.c'"):
        records_at({"a": {"b": {"c": [1]}}}, "a.b.c", "x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.data.rows", [{"id": 1, "名": {"full": "张三"}}, {"id": 2}]),
        ("$.data.rows[*].id", [1, 2]),
        ("$.data.rows[?@.id > 1]", [{"id": 2}]),
        ("$['data']['rows'][0]['名'].full", "张三"),
        ("$..full", ["张三"]),
        ("$.nothing.here", None),
        ("$.nothing[*]", []),
        ("$", {"data": {"rows": [{"id": 1, "名": {"full": "张三"}}, {"id": 2}]}}),
    ],
)
def test_a_json_path_finds_a_value_or_the_list_of_nodes(path: str, expected: Any) -> None:
    document = {"data": {"rows": [{"id": 1, "名": {"full": "张三"}}, {"id": 2}]}}
    assert at_path(document, path) == expected


@pytest.mark.parametrize("path", ["$.a[", "$a", "$.a b", "$" + ".a" * 600, "$[" * 400])
def test_what_is_no_json_path_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        at_path({}, path)
    assert "\n" not in caught.value.detail
    assert len(caught.value.detail) < 400


def test_records_by_json_path() -> None:
    answer = {"groups": [{"rows": [{"id": 1}]}, {"rows": [{"id": 2}, {"id": 3}]}]}
    assert [record["id"] for record in records_at(answer, "$.groups[*].rows[*]", "GET /x")] == [1, 2, 3]
    assert records_at(answer, "$.none[*]", "GET /x") == []
    with pytest.raises(Unavailable, match="expected a list of records"):
        records_at(answer, "$.groups[*].rows[*].id", "GET /x")
