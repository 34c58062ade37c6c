"""Reads of kinds a and b: from the mirror, and what it lacks from the source; the feed of changes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.clock import epoch_ms
from core.errors import InvalidInput, NotFound
from core.records import ChangeSet
from core.service import Write
from exchange.services.records import RecordService
from tests.conformance.data_service_suite import DataServiceSuite, caller
from tests.exchange.customers import Sales, customers_on
from tests.exchange.feed import NAME


class TestRecordService(DataServiceSuite):
    @pytest.fixture
    async def service(self, tmp_path: Path) -> AsyncIterator[RecordService]:
        async with customers_on(tmp_path, Sales()) as platform:
            yield platform.records


async def test_what_the_mirror_lacks_comes_from_the_source_and_says_so(tmp_path: Path) -> None:
    sales = Sales({99: {"id": 99, "name": "fresh"}})
    async with customers_on(tmp_path, sales, source_reads=True) as platform:
        records: RecordService = platform.records
        answers = [await records.get("99", caller()) for _ in range(2)]
        assert [answer.tier for answer in answers] == ["source", "app"]
        assert msgspec.json.decode(answers[0].body) == {"id": 99, "name": "fresh", "changed": None}
        assert sales.fetches == 1
        with pytest.raises(NotFound):
            await records.get("98", caller())
        with pytest.raises(InvalidInput, match="read-only"):
            await records.write(Write("7", {}, "i"), caller())


async def test_a_poll_sees_a_change_when_it_comes_and_deletions_too(tmp_path: Path) -> None:
    async with customers_on(tmp_path, Sales()) as platform:
        since = await platform.mirror.version(NAME)
        poll = asyncio.gather(platform.records.changes(since=since, limit=10, wait_s=25, caller=caller()))
        await asyncio.sleep(0.15)
        await platform.mirror.apply(ChangeSet(NAME, "delete", ("id",), [[3]], epoch_ms()))
        (answer,) = await asyncio.wait_for(poll, 20)
        (item,) = msgspec.json.decode(answer.body)["data"]
        assert (item["deleted"], item["record"]["id"], item["version"]) == (True, 3, answer.last_version)
