"""Kind b: a write at the source, in the mirror and on the bus, once, whatever fails or is repeated (requirement 0.42)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.clock import epoch_ms
from core.errors import Conflict, Forbidden, InvalidInput, NotConnected, PlatformError, Unavailable
from core.service import Write
from core.stores import JournalStep
from exchange.services.writes import WriteService, recover
from exchange.sinks import change_set
from tests.conformance.data_service_suite import DataServiceSuite, caller
from tests.exchange.customers import Platform, Sales, customers_on
from tests.exchange.feed import NAME

RENAME = Write("7", {"name": "张三"}, "i-1")


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with customers_on(tmp_path, Sales()) as opened:
        yield opened


class TestWriteService(DataServiceSuite):
    @pytest.fixture
    def service(self, platform: Platform) -> WriteService:
        return platform.service


async def published(platform: Platform) -> list[tuple[str, list[list[object]]]]:
    """What is on the bus: op and rows of each change set."""
    count = (await platform.bus.depth())["test"]
    deliveries = [await platform.published.next() for _ in range(count)]
    sets = [change_set(delivery.envelope) for delivery in deliveries]
    return [(changes.op, [list(row) for row in changes.rows]) for changes in sets]


@pytest.mark.req("0.42")
async def test_a_write_reaches_source_mirror_bus_and_the_caches_of_others(platform: Platform) -> None:
    before = await platform.service.get("7", caller())
    answer = await platform.service.write(RENAME, caller())
    assert (answer.status, answer.tier) == (200, "source")
    assert msgspec.json.decode(answer.body) == {"id": 7, "name": "张三", "changed": 77}  # what the source itself set included
    assert platform.sales.writes == [("upsert", 7, {"name": "张三"})]
    assert await published(platform) == [("upsert", [[7, "张三", 77]])]
    said = (await asyncio.wait_for(platform.announced.next(), 60)).envelope
    assert msgspec.json.decode(said.data) == {"dataset": NAME, "version": answer.last_version}
    after = await platform.service.get("7", caller())
    assert after.body == answer.body
    assert after.etag != before.etag


async def test_the_same_key_again_gives_the_same_answer_and_writes_once(platform: Platform) -> None:
    first = await platform.service.write(RENAME, caller())
    again = await platform.service.write(RENAME, caller())
    assert (again.body, again.status) == (first.body, first.status)
    assert len(platform.sales.writes) == 1
    with pytest.raises(Conflict, match="used for another request") as refused:
        await platform.service.write(Write("7", {"name": "李四"}, "i-1"), caller())
    assert refused.value.specific_code == "idempotency_key_reused"
    await platform.service.write(RENAME, caller(app="other"))
    assert len(platform.sales.writes) == 2


async def test_overlapping_requests_of_one_key_write_once(platform: Platform) -> None:
    outcomes = await asyncio.gather(*(platform.service.write(RENAME, caller()) for _ in range(8)), return_exceptions=True)
    assert len(platform.sales.writes) == 1
    wrong = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, Conflict) and each.specific_code == "write_under_way" for each in wrong)
    assert len(wrong) < 8


async def test_a_deletion_empties_source_and_mirror(platform: Platform) -> None:
    platform.sales.rows[7] = {"id": 7}
    answer = await platform.service.write(Write("7", None, "i-1"), caller())
    assert answer.status == 204
    assert 7 not in platform.sales.rows
    assert await platform.mirror.get(NAME, [7]) is None
    assert await published(platform) == [("delete", [[7]])]


async def test_preconditions_are_judged_once(platform: Platform) -> None:
    read = await platform.service.get("7", caller())
    mine = Write("7", {"name": "mine"}, "i-1", expected=read.etag)
    await platform.service.write(mine, caller())
    await platform.service.write(mine, caller())  # repeated: no longer the version that was expected, and yet the answer of then
    with pytest.raises(Conflict, match="changed since you read it") as refused:
        await platform.service.write(Write("7", {"name": "yours"}, "i-2", expected=read.etag), caller())
    assert refused.value.specific_code == "etag_mismatch"
    with pytest.raises(Conflict, match="exists already"):
        await platform.service.write(Write("7", {"name": "new"}, "i-3", is_new=True), caller())
    await platform.service.write(Write("70", {"name": "new"}, "i-4", is_new=True), caller())
    assert [write[1] for write in platform.sales.writes] == [7, 70]


async def test_only_writable_fields_in_their_types(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="changed: not a field that may be written; those are name"):
        await platform.service.write(Write("7", {"changed": 1}, "i-1"), caller())
    with pytest.raises(InvalidInput, match="name: expected text"):
        await platform.service.write(Write("7", {"name": ["x"]}, "i-1"), caller())
    assert await platform.journal.open(older_than_ms=epoch_ms() + 1) == []


@pytest.mark.parametrize("error", [InvalidInput("the name is too long"), Forbidden("the reader may not write")])
async def test_what_the_source_refuses_is_refused_for_good(platform: Platform, error: PlatformError) -> None:
    platform.sales.fails.append(error)
    with pytest.raises(type(error), match=error.detail):
        await platform.service.write(RENAME, caller())
    with pytest.raises(InvalidInput, match=error.detail) as again:
        await platform.service.write(RENAME, caller())
    assert again.value.specific_code == "refused_by_source"
    assert (platform.sales.writes, await published(platform)) == ([], [])


async def test_where_nothing_was_sent_the_key_is_free_again(platform: Platform) -> None:
    platform.sales.fails.append(NotConnected("sales does not answer"))
    with pytest.raises(NotConnected):
        await platform.service.write(RENAME, caller())
    assert (await platform.service.write(RENAME, caller())).status == 200


@pytest.mark.parametrize("is_done_at_the_source", [False, True])
async def test_what_may_have_been_done_is_pending_and_recovery_completes_it(
    platform: Platform, is_done_at_the_source: bool
) -> None:
    failures = platform.sales.fails_after if is_done_at_the_source else platform.sales.fails
    failures.append(Unavailable("the line broke"))
    with pytest.raises(Unavailable) as pending:
        await platform.service.write(RENAME, caller())
    assert pending.value.specific_code == "write_pending"
    with pytest.raises(Conflict, match="still under way"):
        await platform.service.write(RENAME, caller())
    assert await recover(platform.journal, {"customers": platform.completion}, older_than_ms=epoch_ms() + 1) == 1
    answer = await platform.service.write(RENAME, caller())
    assert msgspec.json.decode(answer.body)["name"] == "张三"
    assert platform.sales.rows[7]["name"] == "张三"
    assert await published(platform) == [("upsert", [[7, "张三", 77]])]
    assert await recover(platform.journal, {"customers": platform.completion}, older_than_ms=epoch_ms() + 1) == 0


class _Crash(BaseException):
    """The process ends here."""


class _CrashingJournal:
    """Ends the process in front of one step, as a kill would: nothing behind it runs."""

    def __init__(self, platform: Platform, step: JournalStep) -> None:
        self._step = step
        self._advance = platform.journal.advance

    async def advance(self, entry_id: str, step: JournalStep, *, answer: bytes = b"") -> None:
        if step == self._step:
            raise _Crash
        await self._advance(entry_id, step, answer=answer)


@pytest.mark.req("0.42")
@pytest.mark.parametrize("step", ["applied", "done"])
async def test_a_crash_at_any_step_is_completed_once_by_the_next_process(
    tmp_path: Path, step: JournalStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = Sales()
    async with customers_on(tmp_path, sales) as first:
        monkeypatch.setattr(first.journal, "advance", _CrashingJournal(first, step).advance)
        with pytest.raises(_Crash):
            await first.service.write(RENAME, caller())
    async with customers_on(tmp_path, sales) as second:
        assert await recover(second.journal, {"customers": second.completion}, older_than_ms=epoch_ms() + 1) == 1
        answer = await second.service.write(RENAME, caller())
        assert msgspec.json.decode(answer.body)["name"] == "张三"
        row = await second.mirror.get(NAME, [7])
        assert row is not None
        assert row.record["name"] == sales.rows[7]["name"] == "张三"
        assert {str(rows) for _, rows in await published(second)} == {"[[7, '张三', 77]]"}
        assert len(sales.writes) == (2 if step == "applied" else 1)  # keyed: applying it twice leaves the same row
