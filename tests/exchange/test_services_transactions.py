"""Transactions over two sources: all or nothing, whatever is refused, repeated, or crashes between any two durable writes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import exchange.services.transactions as transactions_module
import storage.sagas
from core.errors import Conflict, InvalidInput, NotFound, PlatformError, Unavailable
from core.service import Write
from tests.conformance.data_service_suite import caller
from tests.exchange.customers import Sales
from tests.exchange.two_sources import AFTER, ALL, BEFORE, LAST, NAMES, UPDATE, Desk, desk_on, ends_at


class Crash(BaseException):
    """The process ends here."""


def filled() -> dict[str, Sales]:
    return {name: Sales({n: {"id": n, "name": f"{name}{n}", "changed": 1} for n in range(1, 4)}) for name in NAMES}


def state(desk: Desk) -> dict[str, dict[int, str]]:
    return {name: {key: row["name"] for key, row in source.rows.items()} for name, source in desk.sources.items()}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_on(tmp_path, filled()) as made:
        yield made


@pytest.mark.req("0.42")
async def test_all_steps_are_applied_mirrored_and_repeated_once(desk: Desk) -> None:
    saga = await desk.begin(*ALL)
    assert (saga.state, [step.state for step in saga.steps]) == ("done", ["applied"] * 4)
    assert state(desk) == AFTER
    assert await desk.mirrored() == {"stock": {1: "taken"}, "orders": {3: "changed", 9: "new"}}
    again = await desk.begin(*ALL)
    assert (again.id, again.state) == (saga.id, "done")
    assert [len(source.writes) for source in desk.sources.values()] == [2, 2]
    with pytest.raises(Conflict) as other:
        await desk.begin(UPDATE, LAST)
    assert other.value.specific_code == "idempotency_key_reused"
    assert (await desk.transactions.look(saga.id, caller())).state == "done"
    with pytest.raises(NotFound, match="no transaction tx_none"):
        await desk.transactions.look("tx_none", caller())


@pytest.mark.parametrize("error", [InvalidInput("no such colour"), Conflict("taken"), NotFound("no table")])
async def test_a_step_that_is_refused_takes_back_all_before_it(desk: Desk, error: PlatformError) -> None:
    desk.sources["orders"].fails += [error]  # of the second step
    saga = await desk.begin(*ALL)
    assert (saga.state, saga.failed, saga.code) == ("refused", 1, error.specific_code)
    assert saga.reason == f"step 2 (orders): {error.detail}"
    assert [step.state for step in saga.steps] == ["undone", "undone", "waiting", "waiting"]
    assert state(desk) == BEFORE


async def test_the_last_step_refused_takes_back_an_update_a_creation_and_a_deletion(desk: Desk) -> None:
    orders = desk.sources["orders"]
    upsert = orders.upsert

    async def refuses(dataset: Any, key: Any, changes: Any) -> None:
        if changes == {"name": "changed"}:
            raise InvalidInput("not this one")
        await upsert(dataset, key, changes)

    orders.upsert = refuses
    saga = await desk.begin(*ALL)
    assert (saga.state, saga.failed) == ("refused", 3)
    assert state(desk) == BEFORE
    assert await desk.mirrored() == {"stock": {1: "stock1", 2: "stock2"}, "orders": {3: "orders3"}}


async def test_what_another_has_changed_since_is_left_and_a_person_decides(desk: Desk) -> None:
    orders = desk.sources["orders"]

    async def refuses(dataset: Any, key: Any, changes: Any) -> None:
        desk.sources["stock"].rows[1]["name"] = "another"
        raise InvalidInput("not this one")

    kept, orders.upsert = orders.upsert, refuses
    saga = await desk.begin(UPDATE, LAST)
    assert saga.state == "stuck"
    assert "another has changed the record since; it is left as it is" in saga.reason
    assert state(desk)["stock"][1] == "another"
    (incident,) = await desk.incidents.listed()
    assert (incident.kind, incident.subject) == ("transaction_stuck", saga.id)
    desk.sources["stock"].rows[1]["name"] = "taken"  # a person has looked after it
    orders.upsert = kept
    await desk.sagas.decide(saga.id, "undoing")
    assert await desk.transactions.recover() == 1
    ended = await desk.sagas.get(saga.id)
    assert ended is not None
    assert (ended.state, state(desk)) == ("refused", BEFORE)


async def test_what_makes_no_sense_is_refused_before_anything_is_sent(desk: Desk) -> None:
    for writes, expected in (
        ([UPDATE], "2 to 20 steps"),
        ([UPDATE] * 21, "2 to 20 steps"),
        ([UPDATE, UPDATE], "writes each record once"),
        ([UPDATE, ("nobody", LAST[1])], "takes no part"),
        ([UPDATE, ("orders", Write("x", {"name": "a"}, ""))], "id: expected an integer"),
        ([UPDATE, ("orders", Write("1", {"changed": 1}, ""))], "not a field that may be written"),
    ):
        with pytest.raises(InvalidInput, match=expected):
            await desk.begin(*writes)
    assert (state(desk), await desk.sagas.listed()) == (BEFORE, [])


async def test_a_source_that_is_down_for_too_long_takes_back_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", -1)
    desk.sources["orders"].fails += [Unavailable("down")] * 2
    with pytest.raises(Unavailable) as pending:
        await desk.begin(UPDATE, LAST)
    assert pending.value.specific_code == "transaction_pending"
    assert state(desk)["stock"][1] == "taken"
    assert await desk.transactions.recover() == 0, "it is tried again"
    monkeypatch.setattr(transactions_module, "GIVE_UP_MS", 0)
    desk.sources["orders"].fails += [Unavailable("down")]
    assert await desk.transactions.recover() == 1
    (saga,) = await desk.sagas.listed()
    assert (saga.state, saga.reason, state(desk)) == ("refused", "step 2 (orders): down", BEFORE)


@pytest.mark.req("0.42")
@pytest.mark.parametrize("is_refused", [False, True])
async def test_a_crash_at_any_durable_write_ends_complete_or_taken_back(
    tmp_path: Path, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number after number, until a run ends by itself; then there was no other place to crash at."""
    monkeypatch.setattr(storage.sagas, "FORSAKEN_MS", -1)
    number, outcomes = 0, set()
    while True:
        number += 1
        folder, sources = tmp_path / str(number), filled()
        folder.mkdir()
        if is_refused:
            await _refuse_last(sources["orders"])
        async with desk_on(folder, sources) as first:
            seen = ends_at(first, number, _crash)
            try:
                await first.begin(*ALL)
                break
            except Crash:
                sources = {name: Sales(source.rows) for name, source in sources.items()}  # as they are, and nobody watching
                if is_refused:
                    await _refuse_last(sources["orders"])
        async with desk_on(folder, sources, owner="b") as second:
            found = await second.sagas.listed()
            if not found:
                assert seen == ["accept"]
                assert state(second) == BEFORE
                continue
            ended = found[0].state in ("done", "refused")
            assert await second.transactions.recover() == (0 if ended else 1)
            (saga,) = await second.sagas.listed()
            outcomes.add(saga.state)
            assert state(second) == (BEFORE if is_refused else AFTER), f"crashed at {number}: {seen[-1]}"
            again = await second.begin(*ALL)
            assert (again.id, again.state) == (saga.id, saga.state)
            for name, rows in (await second.mirrored()).items():
                assert rows.items() <= state(second)[name].items(), "the mirror tells what the source has"
            assert await second.transactions.recover() == 0
    assert number > 18
    assert outcomes == ({"refused"} if is_refused else {"done"})


def _crash() -> None:
    raise Crash


async def _refuse_last(orders: Sales) -> None:
    upsert = orders.upsert

    async def refuses(dataset: Any, key: Any, changes: Any) -> None:
        if changes == {"name": "changed"}:
            raise InvalidInput("not this one")
        await upsert(dataset, key, changes)

    orders.upsert = refuses  # type: ignore[method-assign]
