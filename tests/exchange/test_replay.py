"""Quarantined rows once more, after declaration or bytes were mended (requirement 0.31)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.errors import Conflict, InvalidInput, NotFound
from core.records import BadRow, ChangeSet
from core.schema import Dataset, Format
from exchange.replay import Replay
from tests.exchange.feed import CUSTOMERS, NAME, Exchange, Feed, exchange_on

CSV = replace(CUSTOMERS, format=Format("csv"))
BAD = BadRow("changed: expected an integer, got '1,000'", "line 2", '"1,000",张三,7'.encode(), ("changed", "name", "id"))


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    async with exchange_on(tmp_path, Feed()) as opened:
        await opened.quarantine.add("load", NAME, "B", [BAD])
        yield opened


def replay(exchange: Exchange, dataset: Dataset = CSV) -> Replay:
    return Replay(exchange.quarantine, exchange.bus, lambda: {NAME: dataset})


async def waiting(exchange: Exchange) -> list[str]:
    return [row.id for row in await exchange.quarantine.rows()]


@pytest.mark.req("0.31")
async def test_mended_bytes_are_read_under_the_header_they_came_with(exchange: Exchange) -> None:
    (row_id,) = await waiting(exchange)
    with pytest.raises(InvalidInput, match="still bad: changed: expected an integer"):
        await replay(exchange).replay(row_id)
    assert await waiting(exchange) == [row_id]
    await replay(exchange).replay(row_id, "1000,张三,7".encode())
    assert await exchange.mirrored() == {7: "张三"}
    assert await waiting(exchange) == []
    with pytest.raises(Conflict, match="was replayed already"):
        await replay(exchange).replay(row_id)


async def test_a_mended_declaration_needs_no_other_bytes(exchange: Exchange) -> None:
    (row_id,) = await waiting(exchange)
    await replay(exchange, replace(CSV, fields={**CSV.fields, "changed": "text"})).replay(row_id)
    assert await exchange.mirrored() == {7: "张三"}


async def test_what_the_source_said_then_does_not_overwrite_what_it_said_since(exchange: Exchange) -> None:
    (row,) = await exchange.quarantine.rows()
    await exchange.mirror.apply(ChangeSet(NAME, "upsert", CUSTOMERS.columns, [[7, "newer", 9]], row.at_ms + 1))
    await replay(exchange, replace(CSV, fields={**CSV.fields, "changed": "text"})).replay(row.id)
    assert await exchange.mirrored() == {7: "newer"}


async def test_a_row_kept_in_part_is_never_published_in_part(exchange: Exchange) -> None:
    long = BadRow("x", "line 9", b"1,7," + b"x" * 100_000, ("changed", "id", "name"))
    await exchange.quarantine.add("load", NAME, "B", [long])
    row_id = next(row.id for row in await exchange.quarantine.rows() if row.place == "line 9")
    with pytest.raises(InvalidInput, match="only the beginning was kept"):
        await replay(exchange).replay(row_id)
    assert await exchange.mirrored() == {}


async def test_unknown_rows_and_datasets_are_not_found(exchange: Exchange) -> None:
    (row_id,) = await waiting(exchange)
    with pytest.raises(NotFound, match="no row nothing"):
        await replay(exchange).replay("nothing")
    with pytest.raises(NotFound, match="no longer declared"):
        await Replay(exchange.quarantine, exchange.bus, dict).replay(row_id)
