"""What every implementation of core.stores.Journal must do. A test module makes `journal` a fixture and inherits."""

import asyncio

import pytest
from msgspec.structs import replace

from core.errors import NotFound
from core.ids import new_id
from core.stores import Journal, JournalEntry, JournalStep


def entry(key: str = "K1", *, app: str = "shop", once: str = "i-1", at_ms: int = 1000) -> JournalEntry:
    return JournalEntry(
        id=new_id(),
        service="customers",
        app=app,
        idempotency_key=once,
        fingerprint="f",
        op="upsert",
        key={"id": key},
        changes={"name": "张三", "tags": [1, None], "vip": True},
        step="accepted",
        at_ms=at_ms,
    )


class JournalSuite:
    """`journal` is empty at the start of each test."""

    async def test_an_entry_comes_back_whole(self, journal: Journal) -> None:
        first = entry()
        assert await journal.accept(first) == first
        assert await journal.find("shop", "i-1") == first
        assert await journal.find("shop", "i-2") is None
        assert await journal.open(older_than_ms=2000) == [first]

    async def test_a_key_used_before_gives_the_entry_of_then(self, journal: Journal) -> None:
        first = await journal.accept(entry("K1"))
        assert await journal.accept(entry("K2")) == first
        assert len(await journal.open(older_than_ms=2000)) == 1

    async def test_keys_belong_to_their_app(self, journal: Journal) -> None:
        entries = [entry(app="shop", once="x1"), entry(app="shopx", once="1"), entry(app="shop", once="X1")]
        assert [await journal.accept(each) for each in entries] == entries

    async def test_overlapping_accepts_of_one_key_make_one_entry(self, journal: Journal) -> None:
        given = [entry(f"K{n}") for n in range(10)]
        accepted = await asyncio.gather(*(journal.accept(each) for each in given))
        assert len({each.id for each in accepted}) == 1
        assert sum(a.id == g.id for a, g in zip(accepted, given, strict=True)) == 1

    async def test_steps_are_kept_with_the_answer(self, journal: Journal) -> None:
        first = await journal.accept(entry())
        steps: list[tuple[JournalStep, bytes]] = [("applied", b""), ("done", b'{"id": "K1"}')]
        for step, answer in steps:
            await journal.advance(first.id, step, answer=answer)
            assert await journal.find("shop", "i-1") == replace(first, step=step, answer=answer)
        assert await journal.open(older_than_ms=2000) == []
        with pytest.raises(NotFound, match="nothing"):
            await journal.advance("nothing", "done")

    async def test_open_gives_what_waits_oldest_first_within_the_limit(self, journal: Journal) -> None:
        for n, step in enumerate(("accepted", "applied", "done", "refused", "accepted")):
            kept = await journal.accept(entry(f"K{n}", once=f"i-{n}", at_ms=1000 - n))
            if step != "accepted":
                await journal.advance(kept.id, step)  # type: ignore[arg-type]
        assert [each.key["id"] for each in await journal.open(older_than_ms=2000)] == ["K4", "K1", "K0"]
        assert [each.key["id"] for each in await journal.open(older_than_ms=2000, limit=1)] == ["K4"]
        assert [each.key["id"] for each in await journal.open(older_than_ms=999)] == ["K4"]

    async def test_withdrawn_frees_the_key_only_while_nothing_was_done(self, journal: Journal) -> None:
        first = await journal.accept(entry())
        await journal.withdraw(first.id)
        second = await journal.accept(entry())
        assert second.id != first.id
        await journal.advance(second.id, "applied")
        await journal.withdraw(second.id)
        assert (await journal.accept(entry())).id == second.id

    async def test_trim_forgets_what_is_settled_and_old(self, journal: Journal) -> None:
        steps: tuple[JournalStep, ...] = ("accepted", "applied", "done", "refused")
        for n, step in enumerate(steps):
            await journal.advance((await journal.accept(entry(once=f"i-{n}"))).id, step)
        young = await journal.accept(entry(once="young", at_ms=5000))
        await journal.advance(young.id, "done")
        assert await journal.trim(older_than_ms=2000) == 2
        assert [await journal.find("shop", f"i-{n}") is None for n in range(4)] == [False, False, True, True]
        assert await journal.find("shop", "young") is not None
