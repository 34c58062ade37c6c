"""What every adapter must do, whatever its technology: run the suites of its abilities against a living source.

A test module gives a fixture `harness` (see `Harness`) and derives `class TestX(ConnectionSuite, SourceSuite, …)` from the suites
of the abilities it declares. Delivery is at least once: a suite never fails on a row that comes twice after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import msgspec
import pytest

from core.adapter import Adapter, Backend, Connection, Describes, Lookup, Source, Writer
from core.errors import NotConnected, NotFound, Unauthenticated
from core.records import Cursor, Payload, Rows, Transaction
from core.schema import Dataset, Field, FieldType


@dataclass(frozen=True, slots=True)
class Person:
    """The record that every harness keeps at its source. `amount` is decimal with two digits, `changed_at` a local date-time."""

    number: int
    name: str
    amount: str
    changed_at: str


class Harness(Protocol):
    """A living source and the adapter in front of it."""

    @property
    def adapter(self) -> Adapter: ...

    @property
    def settings(self) -> Any:
        """Settings with which everything works."""
        ...

    @property
    def wrong_password(self) -> Any:
        """Settings that the source refuses; None where it knows no password."""
        ...

    @property
    def unreachable(self) -> Any:
        """Settings under which nothing answers."""
        ...

    @property
    def dataset(self) -> Dataset:
        """`people()` in this source's terms. Empty until `put`."""
        ...

    @property
    def missing(self) -> Dataset | None:
        """The dataset with an object that the source does not have; None where a source can't tell (a file pattern, a feed)."""
        ...

    async def put(self, people: Sequence[Person]) -> None:
        """Make or change these rows at the source, behind the adapter's back."""
        ...

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        """The rows of consecutive payloads of one read; `decode_rows` does it for adapters that give `Rows`."""
        ...


_FIELDS: dict[str, FieldType] = {"number": "integer", "name": "text", "amount": "decimal", "changed_at": "datetime"}


def people(object_name: str, *, names: Sequence[str] = ("number", "name", "amount", "changed_at"), **more: Any) -> Dataset:
    """The dataset of `Person`; `names` are the source's own names of the four fields, `more` goes to `Dataset`."""
    fields: dict[str, Field | FieldType] = {
        outward: Field(type=kind, source=source) for (outward, kind), source in zip(_FIELDS.items(), names, strict=True)
    }
    return Dataset(object=object_name, key=("number",), fields=fields, cursor="changed_at", **more)


def crowd(first: int, count: int, *, minute: int = 0, name: str = "张三") -> list[Person]:
    """`count` people with consecutive numbers; three share each moment, as rows of one bulk update do."""
    return [
        Person(number, f"{name} {number}", f"{number}.50", f"2024-05-10T08:{minute:02d}:{number % 60 // 3:02d}.123")
        for number in range(first, first + count)
    ]


def decode_rows(dataset: Dataset, payloads: Sequence[Payload]) -> list[Person]:
    """People out of `Rows`, whichever Python types the driver gives for decimals and date-times."""
    found = []
    for payload in payloads:
        assert isinstance(payload, Rows)
        assert list(payload.columns) == [dataset.source_name(name) for name in dataset.columns]
        for number, name, amount, changed_at in payload.rows:
            moment = changed_at if isinstance(changed_at, str) else changed_at.isoformat(timespec="milliseconds")
            found.append(Person(int(number), name, f"{float(amount):.2f}", moment.replace(" ", "T")[:23]))
    return found


@asynccontextmanager
async def opened(harness: Harness, settings: Any = None) -> AsyncIterator[Any]:
    """A connection, closed at the end; `settings` replace the harness's good ones."""
    connection = harness.adapter.open(harness.settings if settings is None else settings)
    try:
        yield connection
    finally:
        await connection.close()


async def read_transactions(
    source: Source, dataset: Dataset, cursor: Cursor | None = None, *, batch_rows: int = 10, stop_after: int | None = None
) -> list[Transaction]:
    """Read and acknowledge as the exchange does; with `stop_after` close the iterator after so many transactions."""
    taken: list[Transaction] = []
    async with aclosing(cast(Any, source.read(dataset, cursor, batch_rows=batch_rows))) as stream:
        async for transaction in stream:
            await transaction.acknowledge()
            taken.append(transaction)
            if stop_after is not None and len(taken) >= stop_after:
                break
    return taken


def decoded(harness: Harness, transactions: Sequence[Transaction]) -> list[Person]:
    return harness.decode([transaction.payload for transaction in transactions])


def checkpoint(harness: Harness, transactions: Sequence[Transaction]) -> Cursor:
    """The JSON that a job would keep: the last cursor, or the one that the exchange derives from the last row."""
    cursor = transactions[-1].cursor
    if cursor is None:
        field = harness.dataset.cursor
        assert field is not None
        cursor = {"value": getattr(decoded(harness, transactions)[-1], field)}
    return cast(Cursor, msgspec.json.decode(msgspec.json.encode(cursor)))


class ConnectionSuite:
    """Every adapter."""

    async def test_a_connection_has_exactly_the_declared_abilities(self, harness: Harness) -> None:
        protocols: dict[str, type] = {"read": Source, "lookup": Lookup, "write": Writer, "call": Backend}
        async with opened(harness) as connection:
            assert isinstance(connection, Connection)
            shown = {name for name, protocol in protocols.items() if isinstance(connection, protocol)}
            assert shown == harness.adapter.abilities

    async def test_settings_and_options_refuse_unknown_fields(self, harness: Harness) -> None:
        for kind in (harness.adapter.settings, harness.adapter.options):
            assert kind.__struct_config__.forbid_unknown_fields

    async def test_check_passes_again_and_again_on_a_source_that_works(self, harness: Harness) -> None:
        async with opened(harness) as connection:
            await connection.check()
            await connection.check()

    async def test_close_works_twice_and_before_first_use(self, harness: Harness) -> None:
        unused = harness.adapter.open(harness.settings)
        await unused.close()
        async with opened(harness) as connection:
            await connection.check()
            await connection.close()

    async def test_a_wrong_password_is_unauthenticated_and_not_in_the_message(self, harness: Harness) -> None:
        if (settings := harness.wrong_password) is None:
            return  # this source knows no password
        async with opened(harness, settings) as connection:
            with pytest.raises(Unauthenticated) as caught:
                await connection.check()
            secrets = [getattr(settings, name) for name in settings.__struct_fields__ if "password" in name]
            assert not any(secret.reveal() in caught.value.detail for secret in secrets if secret)

    async def test_an_unreachable_source_is_not_connected_each_time(self, harness: Harness) -> None:
        async with opened(harness, harness.unreachable) as connection:
            for _ in range(2):
                with pytest.raises(NotConnected):
                    await connection.check()


class SourceSuite:
    """Ability `read`."""

    async def test_an_empty_source_gives_no_rows(self, harness: Harness) -> None:
        async with opened(harness) as source:
            assert decoded(harness, await read_transactions(source, harness.dataset)) == []

    async def test_a_full_read_gives_every_row_once_and_in_order(self, harness: Harness) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            transactions = await read_transactions(source, harness.dataset)
        assert decoded(harness, transactions) == rows
        for transaction in transactions:
            if isinstance(transaction.payload, Rows):
                assert 0 < len(transaction.payload.rows) <= 10
            assert transaction.observed_ms > 1_600_000_000_000

    async def test_from_each_cursor_a_read_goes_on_without_losing_a_row(self, harness: Harness) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            transactions = await read_transactions(source, harness.dataset, batch_rows=4)
            for end in range(1, len(transactions) + 1):
                before = transactions[:end]
                after = await read_transactions(source, harness.dataset, checkpoint(harness, before), batch_rows=4)
                assert set(decoded(harness, before)) | set(decoded(harness, after)) == set(rows)

    async def test_stopping_mid_way_gives_the_connection_back(self, harness: Harness) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            for _ in range(20):
                assert len(await read_transactions(source, harness.dataset, batch_rows=4, stop_after=1)) == 1
            assert decoded(harness, await read_transactions(source, harness.dataset)) == rows

    async def test_changed_and_new_rows_come_after_the_checkpoint(self, harness: Harness) -> None:
        await harness.put(crowd(1, 25))
        async with opened(harness) as source:
            cursor = checkpoint(harness, await read_transactions(source, harness.dataset))
            news = crowd(3, 2, minute=1, name="李四") + crowd(26, 2, minute=2)
            await harness.put(news)
            later = await read_transactions(source, harness.dataset, cursor)
            # After a full load in another order than the cursor's, rows of its greatest cursor value may come once more, first.
            assert decoded(harness, later)[-len(news) :] == news
            assert set(decoded(harness, later)) <= {*crowd(24, 2), *news}
            cursor = checkpoint(harness, later)
            assert decoded(harness, await read_transactions(source, harness.dataset, cursor)) == []

    async def test_overlapping_reads_do_not_disturb_each_other(self, harness: Harness) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            reads = [read_transactions(source, harness.dataset, batch_rows=size) for size in (3, 7, 25)]
            for transactions in await asyncio.gather(*reads):
                assert decoded(harness, transactions) == rows

    async def test_estimate_is_none_or_the_number_of_rows(self, harness: Harness) -> None:
        await harness.put(crowd(1, 25))
        async with opened(harness) as source:
            assert await source.estimate(harness.dataset, None) in (None, 25)

    async def test_an_unknown_object_is_not_found_and_named(self, harness: Harness) -> None:
        if (missing := harness.missing) is None:
            return  # this source can't tell what it does not have
        async with opened(harness) as source:
            with pytest.raises(NotFound, match=r".*no_such_.*"):
                await read_transactions(source, missing)

    async def test_reading_an_unreachable_source_is_not_connected(self, harness: Harness) -> None:
        async with opened(harness, harness.unreachable) as source:
            with pytest.raises(NotConnected):
                await read_transactions(source, harness.dataset)


class DescribesSuite:
    """core.adapter.Describes, for a source that knows its columns."""

    async def test_its_columns_are_told_in_order_with_types_that_hold_them(self, harness: Harness) -> None:
        async with opened(harness) as connection:
            assert isinstance(connection, Describes)
            columns = await connection.describe(harness.dataset)
            assert [column.name for column in columns] == list(harness.dataset.read_columns)
            assert [column.type for column in columns] == list(_FIELDS.values())
            assert all(column.native for column in columns)

    async def test_of_an_object_that_is_not_there_nothing_is_told(self, harness: Harness) -> None:
        if harness.missing is not None:
            async with opened(harness) as connection:
                assert isinstance(connection, Describes)
                assert await connection.describe(harness.missing) == []


class LookupSuite:
    """Ability `lookup`."""

    async def test_fetch_gives_the_row_or_none(self, harness: Harness) -> None:
        rows = crowd(1, 5)
        await harness.put(rows)
        async with opened(harness) as source:
            found = await source.fetch(harness.dataset, {"number": 3})
            assert harness.decode([found]) == [rows[2]]
            assert await source.fetch(harness.dataset, {"number": 99}) is None

    async def test_overlapping_fetches_each_get_their_own_row(self, harness: Harness) -> None:
        rows = crowd(1, 25)
        await harness.put(rows)
        async with opened(harness) as source:
            found = await asyncio.gather(*(source.fetch(harness.dataset, {"number": row.number}) for row in rows))
            assert harness.decode(found) == rows


class WriterSuite:
    """Ability `write`, for adapters that look up as well."""

    async def test_upsert_makes_a_row_and_doing_it_twice_changes_nothing(self, harness: Harness) -> None:
        new = crowd(7, 1)[0]
        changes = {"name": new.name, "amount": new.amount, "changed_at": new.changed_at}
        async with opened(harness) as source:
            for _ in range(2):
                await source.upsert(harness.dataset, {"number": 7}, changes)
                found = await source.fetch(harness.dataset, {"number": 7})
                assert harness.decode([found]) == [new]

    async def test_upsert_keeps_the_fields_that_are_not_given(self, harness: Harness) -> None:
        rows = crowd(1, 3)
        await harness.put(rows)
        async with opened(harness) as source:
            await source.upsert(harness.dataset, {"number": 2}, {"name": "O'Neil; -- 王五"})
            found = await source.fetch(harness.dataset, {"number": 2})
            assert harness.decode([found]) == [replace(rows[1], name="O'Neil; -- 王五")]
            other = await source.fetch(harness.dataset, {"number": 3})
            assert harness.decode([other]) == [rows[2]]

    async def test_delete_removes_the_row_and_is_content_when_it_is_gone(self, harness: Harness) -> None:
        await harness.put(crowd(1, 3))
        async with opened(harness) as source:
            for _ in range(2):
                await source.delete(harness.dataset, {"number": 2})
                assert await source.fetch(harness.dataset, {"number": 2}) is None
            assert await source.fetch(harness.dataset, {"number": 1}) is not None

    async def test_overlapping_upserts_of_one_new_row_leave_one_row(self, harness: Harness) -> None:
        new = crowd(7, 1)[0]
        changes = {"name": new.name, "amount": new.amount, "changed_at": new.changed_at}
        async with opened(harness) as source:
            await asyncio.gather(*(source.upsert(harness.dataset, {"number": 7}, changes) for _ in range(8)))
            found = await source.fetch(harness.dataset, {"number": 7})
            assert harness.decode([found]) == [new]
