"""Transactions over several sources: how they stand, and a person's word on those that are stuck (DESIGN §4, kind b)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.messages import StoredStep, StoredTransaction
from console.api.resources import Limit
from core.errors import NotFound
from core.stores import Saga, SagaState

router = APIRouter(tags=["transactions"])


def _stored(saga: Saga) -> StoredTransaction:
    """What was read and written stays with the sources: keys and names of fields are told."""
    steps = [StoredStep(step.service, step.op, step.key, sorted(step.changes), step.state) for step in saga.steps]
    return StoredTransaction(saga.id, saga.app, saga.state, saga.at_ms, steps, saga.failed, saga.reason)


@router.get("/transactions", responses=gives("StoredTransaction", many=True))
async def list_transactions(
    control: Controlled, state: Annotated[SagaState | None, Query(description="without it: all")] = None, limit: Limit = 100
) -> Response:
    """Transactions under way and of the last day, newest first."""
    return Json({"items": [_stored(saga) for saga in await control.sagas.listed(state=state, limit=limit)]})


@router.get("/transactions/{transaction_id}", responses=gives("StoredTransaction"))
async def read_transaction(control: Controlled, transaction_id: str) -> Response:
    """One transaction with its steps."""
    saga = await control.sagas.get(transaction_id)
    if saga is None:
        raise NotFound(f"there is no transaction {transaction_id}")
    return Json(_stored(saga))


@router.post("/transactions/{transaction_id}/retry", responses=gives("StoredTransaction"))
async def retry(request: Request, control: Controlled, caller: Caller, transaction_id: str) -> Response:
    """Try once more to take a stuck one back, after the record was looked after. 409 for one that is not stuck."""
    saga = await control.sagas.decide(transaction_id, "undoing")
    await control.incidents.resolved("transaction_stuck", transaction_id)
    note(request, caller, "transaction retried", transaction=transaction_id)
    return Json(_stored(saga))


@router.post("/transactions/{transaction_id}/leave", responses=gives("StoredTransaction"))
async def leave(request: Request, control: Controlled, caller: Caller, transaction_id: str) -> Response:
    """Leave the records of a stuck one as they are; it counts as refused. 409 for one that is not stuck."""
    saga = await control.sagas.decide(transaction_id, "refused")
    await control.incidents.resolved("transaction_stuck", transaction_id)
    note(request, caller, "transaction left as it is", transaction=transaction_id)
    return Json(_stored(saga))
