"""What every implementation of core.stores.Quarantine must do. A test module makes `quarantine` a fixture and inherits."""

import pytest

from core.errors import NotFound
from core.records import BadRow
from core.stores import Quarantine

CUSTOMERS = "sales.customers"
AGE = BadRow("age: expected an integer, got '四十'", "line 17", "K1,张三,四十\r".encode("gb18030"), ("id", "name", "age"))


class QuarantineSuite:
    """`quarantine` is empty at the start of each test."""

    async def test_a_bad_row_comes_back_with_its_exact_bytes(self, quarantine: Quarantine) -> None:
        odd = BadRow("byte ff at offset 0 is no utf-8 text", "message 1", bytes(range(256)), ())
        tab = BadRow("x", "row 1", b"", ("a\tb", "", "日期"))
        await quarantine.add("job", CUSTOMERS, "SYNC20240510001", [AGE, odd, tab])
        rows = await quarantine.rows()
        kept = {(row.reason, row.place, row.raw, row.columns) for row in rows}
        assert kept == {(row.reason, row.place, row.raw, row.columns) for row in (AGE, odd, tab)}
        assert {(row.job, row.dataset, row.batch_id, row.state) for row in rows} == {
            ("job", CUSTOMERS, "SYNC20240510001", "waiting")
        }
        assert [await quarantine.get(row.id) for row in rows] == rows

    async def test_the_same_row_again_is_kept_once(self, quarantine: Quarantine) -> None:
        for batch in ("SYNC20240510001", "SYNC20240510002"):
            await quarantine.add("job", CUSTOMERS, batch, [AGE, AGE])
        assert await quarantine.count() == {CUSTOMERS: 1}

    async def test_rows_that_differ_in_anything_are_each_kept(self, quarantine: Quarantine) -> None:
        await quarantine.add("job", CUSTOMERS, "B", [AGE, BadRow(AGE.reason, "line 18", AGE.raw, AGE.columns)])
        await quarantine.add("job", CUSTOMERS, "B", [BadRow("other", AGE.place, AGE.raw), BadRow(AGE.reason, AGE.place, b"other")])
        await quarantine.add("job", "sales.deals", "B", [AGE])
        assert await quarantine.count() == {CUSTOMERS: 4, "sales.deals": 1}
        assert [row.dataset for row in await quarantine.rows(dataset="sales.deals")] == ["sales.deals"]

    async def test_a_settled_row_waits_no_more_and_may_come_again(self, quarantine: Quarantine) -> None:
        await quarantine.add("job", CUSTOMERS, "B", [AGE])
        (row,) = await quarantine.rows()
        await quarantine.settle(row.id, "discarded")
        assert (await quarantine.rows(), await quarantine.count()) == ([], {})
        assert [kept.state for kept in await quarantine.rows(state="discarded")] == ["discarded"]
        await quarantine.add("job", CUSTOMERS, "C", [AGE])
        assert [(kept.id, kept.batch_id) for kept in await quarantine.rows()] == [(row.id, "C")]

    async def test_an_unknown_row_is_not_found(self, quarantine: Quarantine) -> None:
        assert await quarantine.get("nothing") is None
        with pytest.raises(NotFound, match="nothing"):
            await quarantine.settle("nothing", "replayed")

    async def test_of_a_giant_row_the_beginning_is_kept(self, quarantine: Quarantine) -> None:
        await quarantine.add("job", CUSTOMERS, "B", [BadRow("too long", "line 1", b"x" * 200_000)])
        assert [row.raw for row in await quarantine.rows()] == [b"x" * 65_536]

    async def test_no_more_rows_than_asked(self, quarantine: Quarantine) -> None:
        await quarantine.add("job", CUSTOMERS, "B", [BadRow("bad", f"line {n}", b"x") for n in range(7)])
        assert len(await quarantine.rows(limit=3)) == 3
