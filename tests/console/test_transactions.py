"""Transactions over HTTP: what is told of them, and a person's word on one that is stuck."""

import httpx

from core.stores import Saga, SagaStep
from tests.console.platform_parts import Platform


def _saga(number: int) -> Saga:
    step = SagaStep("customers", "upsert", {"id": "K1"}, {"name": "张三"}, "applied", {"id": "K1", "name": "secret before"})
    return Saga(f"tx_{number}", "shop", f"once-{number}", "f", [step], 1000 + number)


async def test_a_stuck_one_is_tried_again_or_left_and_no_record_is_shown(platform: Platform, operator: httpx.AsyncClient) -> None:
    sagas = platform.control.sagas
    for number in range(3):
        saga = await sagas.accept(_saga(number), owner="a")
        if number:
            saga.state, saga.reason = "stuck", "another has changed the record"
            await sagas.save(saga, owner="a")
    listed = await operator.get("/api/v1/transactions")
    assert [(each["id"], each["state"]) for each in listed.json()["items"]] == [
        ("tx_2", "stuck"),
        ("tx_1", "stuck"),
        ("tx_0", "open"),
    ]
    assert "secret before" not in listed.text
    assert "张三" not in listed.text
    shown = (await operator.get("/api/v1/transactions/tx_1")).json()
    assert shown["steps"] == [{"service": "customers", "op": "upsert", "key": {"id": "K1"}, "fields": ["name"], "state": "applied"}]
    assert (await operator.post("/api/v1/transactions/tx_1/retry")).json()["state"] == "undoing"
    assert (await operator.post("/api/v1/transactions/tx_2/leave")).json()["state"] == "refused"
    for path, status in (("tx_0/retry", 409), ("tx_1/leave", 409), ("none/leave", 404)):
        assert (await operator.post(f"/api/v1/transactions/{path}")).status_code == status
    assert (await operator.get("/api/v1/transactions/none")).status_code == 404
    assert (await operator.get("/api/v1/transactions?state=stuck")).json()["items"] == []
    assert (await operator.get("/api/v1/transactions?state=lost")).status_code == 400
