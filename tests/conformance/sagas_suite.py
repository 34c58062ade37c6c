"""What every implementation of core.stores.Sagas must do. A test module makes `sagas` a fixture and inherits."""

import asyncio

import pytest
from msgspec.structs import replace

import storage.sagas
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.stores import Saga, Sagas, SagaStep


def saga(*, app: str = "shop", once: str = "i-1", at_ms: int = 1000) -> Saga:
    steps = [
        SagaStep("customers", "upsert", {"id": "K1"}, {"name": "张三", "tags": [1, None]}, "applied", {"id": "K1", "name": None}),
        SagaStep("deals", "delete", {"shop": "成都", "number": 7}, {}),
    ]
    return Saga(new_id("tx_"), app, once, "f", steps, at_ms)


class SagasSuite:
    """`sagas` is empty at the start of each test."""

    async def test_a_saga_comes_back_whole_and_as_it_was_saved(self, sagas: Sagas) -> None:
        first = saga()
        assert await sagas.accept(first, owner="a") == first
        assert await sagas.get(first.id) == first
        assert await sagas.get("tx_none") is None
        first.steps[1].state, first.state, first.failed, first.reason = "applying", "undoing", 1, "no"
        await sagas.save(first, owner="a")
        assert await sagas.get(first.id) == first
        assert await sagas.listed(state="undoing") == [first]
        assert await sagas.listed(state="done") == []

    async def test_a_key_used_before_gives_the_saga_of_then_for_its_app_alone(self, sagas: Sagas) -> None:
        given = [saga() for _ in range(10)]
        accepted = await asyncio.gather(*(sagas.accept(each, owner="a") for each in given))
        assert len({each.id for each in accepted}) == 1
        other = saga(app="other")
        assert await sagas.accept(other, owner="a") == other
        assert len(await sagas.listed()) == 2

    async def test_one_process_at_a_time(self, sagas: Sagas, monkeypatch: pytest.MonkeyPatch) -> None:
        first = await sagas.accept(saga(), owner="a")
        assert await sagas.claim(first.id, owner="b") is None, "its owner is at work"
        assert await sagas.forsaken() == []
        monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", -1)
        assert await sagas.forsaken() == [first.id]
        monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", -1)
        assert await sagas.claim(first.id, owner="b") == first
        monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", 60_000)
        assert await sagas.claim(first.id, owner="c") is None
        with pytest.raises(Conflict, match="another process"):
            await sagas.save(replace(first, state="done"), owner="a")
        await sagas.save(replace(first, state="done"), owner="b")
        monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", -1)
        assert await sagas.claim(first.id, owner="c") is None, "it has ended"

    async def test_a_person_decides_about_what_is_stuck_and_nothing_else(self, sagas: Sagas) -> None:
        first = await sagas.accept(saga(), owner="a")
        with pytest.raises(NotFound, match="no transaction tx_none"):
            await sagas.decide("tx_none", "undoing")
        with pytest.raises(Conflict, match="is open, not stuck"):
            await sagas.decide(first.id, "refused")
        await sagas.save(replace(first, state="stuck"), owner="a")
        assert (await sagas.decide(first.id, "undoing")).state == "undoing"
        assert await sagas.forsaken() == [first.id], "at once"
        with pytest.raises(Conflict, match="another process"):
            await sagas.save(first, owner="a")

    async def test_what_has_ended_is_forgotten_after_its_time(self, sagas: Sagas) -> None:
        for number, state in enumerate(("done", "refused", "stuck", "open")):
            made = await sagas.accept(saga(once=str(number)), owner="a")
            await sagas.save(replace(made, state=state), owner="a")
        assert await sagas.trim(older_than_ms=1000) == 0
        assert await sagas.trim(older_than_ms=1001) == 2
        assert {each.state for each in await sagas.listed()} == {"stuck", "open"}
