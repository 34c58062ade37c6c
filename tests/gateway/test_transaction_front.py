"""Transactions over HTTP: each step is asked what its service's own pipe would ask; nothing of one that is refused is left."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.supervise import Tasks
from tests.gateway.desk import Desk, document, header, json_of, open_desk

STEPS: list[dict[str, Any]] = [
    {"service": "customers", "op": "update", "key": "K1", "record": {"name": "新"}},
    {"service": "visits", "op": "replace", "key": "K1~1", "record": {"note": "first"}},
    {"service": "customers", "op": "delete", "key": "K2"},
]


def _document() -> dict[str, Any]:
    made = document()
    everything = {"plan": "gold", "scopes": made["apps"]["shop"]["scopes"]}
    made["apps"]["masked"] = {**everything, "grants": {"customers": {"masks": {"name": {}}}}}
    made["apps"]["keeper"] = {**everything, "grants": {"customers": {"operations": ["get", "update"]}}}
    made["apps"]["half"] = {"plan": "gold", "scopes": ["customers:write"]}
    made["services"]["plain"] = {"kind": "synchronous", "dataset": "crm.customers", "writable": ["name"]}
    return made


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Desk]:
    tasks = Tasks(lambda *_: None)
    async with open_desk(tmp_path, tasks=tasks, declared=_document()) as desk:
        yield desk
        await tasks.close()


async def _begin(desk: Desk, steps: Any = STEPS, *, app: str = "shop", once: str = "t-1") -> tuple[int, Any]:
    answer = await desk.ask("POST", "/v1/transactions", app=app, headers={"Idempotency-Key": once}, body={"steps": steps})
    return answer.status, json_of(answer)


@pytest.mark.req("0.42")
async def test_all_steps_and_afterwards_each_service_tells_of_it(counter: Desk) -> None:
    status, told = await _begin(counter)
    assert (status, told["state"]) == (200, "done")
    assert [(step["service"], step["key"], step["state"]) for step in told["steps"]] == [
        ("customers", {"customer_id": "K1"}, "applied"),
        ("visits", {"customer_id": "K1", "number": 1}, "applied"),
        ("customers", {"customer_id": "K2"}, "applied"),
    ]
    assert json_of(await counter.ask("GET", "/v1/customers/K1"))["name"] == "新"
    assert (await counter.ask("GET", "/v1/customers/K2")).status == 404
    assert json_of(await counter.ask("GET", "/v1/visits/K1~1"))["note"] == "first"
    assert await _begin(counter) == (200, told), "the same key again"
    assert json_of(await counter.ask("GET", f"/v1/transactions/{told['id']}")) == told
    assert (await counter.ask("GET", f"/v1/transactions/{told['id']}", app="reader")).status == 404, "of another app"
    status, problem = await _begin(counter, STEPS[:2])
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


async def test_a_step_that_the_source_refuses_leaves_nothing(counter: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: Any) -> None:
        raise InvalidInput("the customer has open orders")

    monkeypatch.setattr(counter.ledger, "delete", refuses)
    status, problem = await _begin(counter, [STEPS[0], STEPS[2]])
    assert (status, problem["code"]) == (409, "transaction_refused")
    assert "nothing is left of it: step 2 (customers): the customer has open orders" in problem["detail"]
    assert json_of(await counter.ask("GET", "/v1/customers/K1"))["name"] == "客户1"


async def test_a_precondition_holds_for_its_step(counter: Desk) -> None:
    etag = header(await counter.ask("GET", "/v1/customers/K1"), "ETag")
    steps = [{**STEPS[0], "if_match": '"old"'}, STEPS[1]]
    assert (await _begin(counter, steps))[1]["code"] == "etag_mismatch"
    assert (await _begin(counter, [{**STEPS[0], "if_match": etag}, STEPS[1]], once="t-2"))[0] == 200


@pytest.mark.parametrize(
    ("app", "steps", "status", "code", "text"),
    [
        ("reader", STEPS, 403, "scope_missing", "step 1: app reader has no scope customers:write"),
        ("half", STEPS, 403, "scope_missing", "step 2: app half has no scope visits:write"),
        ("keeper", STEPS, 403, "operation_refused", "step 3: app keeper may not delete on customers"),
        ("masked", STEPS, 403, "field_forbidden", "step 1: field name is masked"),
        (
            "masked",
            [{**STEPS[0], "op": "replace", "record": {"score": 1}}, STEPS[1]],
            403,
            "field_forbidden",
            "field name is masked",
        ),
        ("shop", [STEPS[0], {**STEPS[0], "service": "plain"}], 400, "not_transactional", "step 2: service 'plain' takes no part"),
        ("shop", [STEPS[0], {**STEPS[0], "service": "points"}], 400, "not_transactional", "service 'points' takes no part"),
        ("shop", [STEPS[0], {**STEPS[2], "record": {}}], 400, "invalid_input", "step 2: delete takes no record"),
        ("shop", [STEPS[0], {"service": "visits", "op": "update", "key": "K1~1"}], 400, "invalid_input", "update needs a record"),
        ("shop", [STEPS[0]], 400, "invalid_input", "length >= 2"),
        ("shop", [STEPS[0], {**STEPS[1], "op": "drop"}], 400, "invalid_input", "Invalid enum value 'drop'"),
        ("shop", [STEPS[0], {**STEPS[1], "also": 1}], 400, "invalid_input", "unknown field `also`"),
        ("shop", [STEPS[0], {**STEPS[1], "key": "K1"}], 400, "invalid_input", "the key must be customer_id~number"),
        ("shop", [STEPS[0], {**STEPS[0], "record": {"score": 1}}], 400, "invalid_input", "writes each record once"),
        ("shop", "steps", 400, "invalid_input", "the body is no JSON object"),
    ],
)
async def test_what_a_step_may_not_is_refused_before_anything_is_done(
    counter: Desk, app: str, steps: Any, status: int, code: str, text: str
) -> None:
    before = {key: dict(row) for key, row in counter.ledger.rows.items()}
    found, problem = await _begin(counter, steps, app=app)
    assert (found, problem["code"]) == (status, code)
    assert text in problem["detail"]
    assert counter.ledger.rows == before
    assert await counter.parts.sagas.listed() == []


async def test_without_a_token_or_a_key_nothing_is_begun(counter: Desk) -> None:
    assert (await counter.ask("POST", "/v1/transactions", app=None, body={"steps": STEPS})).status == 401
    answer = await counter.ask("POST", "/v1/transactions", body={"steps": STEPS})
    assert json_of(answer)["code"] == "idempotency_key_required"
    assert (await counter.ask("GET", "/v1/transactions/tx_none")).status == 404
