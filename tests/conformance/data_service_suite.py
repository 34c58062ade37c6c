"""What every data service over a dataset must do. A test module makes `service` a fixture and inherits.

`service` offers CUSTOMERS with 25 living rows: id 0 … 24, name `人<id>`, `changed` = id // 10; filters name and changed; at most
10 records a page.
"""

import time

import msgspec
import pytest

from core.errors import InvalidInput, NotFound
from core.service import Caller, DataService


def caller(*, app: str = "shop", within_s: float = 60.0) -> Caller:
    return Caller(app=app, request_id="r", deadline=time.monotonic() + within_s)


class DataServiceSuite:
    async def test_one_record_by_its_key(self, service: DataService) -> None:
        answer = await service.get("7", caller())
        assert msgspec.json.decode(answer.body) == {"id": 7, "name": "人7", "changed": 0}
        assert (answer.status, answer.tier) == (200, "db")
        assert answer.etag
        assert 0 <= answer.age_s < 60

    async def test_no_such_record_is_not_found(self, service: DataService) -> None:
        with pytest.raises(NotFound, match="999"):
            await service.get("999", caller())

    @pytest.mark.parametrize("key", ["", "x", " ", "1~2", str(2**70)])
    async def test_a_key_that_can_be_none_is_refused(self, service: DataService, key: str) -> None:
        with pytest.raises(InvalidInput, match="id"):
            await service.get(key, caller())

    async def test_pages_hold_every_record_once_in_order(self, service: DataService) -> None:
        seen, cursor = [], None
        for _ in range(10):
            answer = await service.query([], limit=10, cursor=cursor, caller=caller())
            page = msgspec.json.decode(answer.body)
            seen += [record["id"] for record in page["data"]]
            cursor = page["next_cursor"]
            assert answer.next_cursor == cursor
            if cursor is None:
                break
        assert seen == list(range(25))

    async def test_filters_are_typed_and_work_together(self, service: DataService) -> None:
        answer = await service.query([("changed", "1"), ("name", "人12")], limit=10, cursor=None, caller=caller())
        assert [record["id"] for record in msgspec.json.decode(answer.body)["data"]] == [12]
        with pytest.raises(InvalidInput, match="changed: expected an integer"):
            await service.query([("changed", "soon")], limit=10, cursor=None, caller=caller())

    async def test_an_unknown_filter_is_named_with_those_that_are_offered(self, service: DataService) -> None:
        with pytest.raises(InvalidInput, match="unknown filter 'age'; this service offers: name, changed") as refused:
            await service.query([("age", "1")], limit=10, cursor=None, caller=caller())
        assert refused.value.specific_code == "unknown_filter"

    @pytest.mark.parametrize("cursor", ["x", "%%%", "e30", "W10", "bnVsbA"])
    async def test_a_cursor_it_did_not_give_is_refused(self, service: DataService, cursor: str) -> None:
        with pytest.raises(InvalidInput, match="cursor"):
            await service.query([], limit=10, cursor=cursor, caller=caller())

    async def test_a_page_too_large_is_refused(self, service: DataService) -> None:
        with pytest.raises(InvalidInput, match="at most 10"):
            await service.query([], limit=11, cursor=None, caller=caller())

    async def test_the_feed_of_changes_goes_on_from_its_last_version(self, service: DataService) -> None:
        since, seen = 0, []
        while page := msgspec.json.decode((await service.changes(since=since, limit=10, wait_s=0, caller=caller())).body)["data"]:
            seen += [item["record"]["id"] for item in page]
            since = page[-1]["version"]
        assert seen == list(range(25))

    async def test_a_poll_for_changes_ends_in_time(self, service: DataService) -> None:
        started = time.monotonic()
        answer = await service.changes(since=10**9, limit=10, wait_s=0.3, caller=caller())
        assert msgspec.json.decode(answer.body) == {"data": [], "last_version": 10**9}
        assert time.monotonic() - started > 0.2
