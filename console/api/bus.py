"""The data bus: what waits, and the dead letters."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives
from console.api.messages import BusState, DeadLetterInfo
from console.api.resources import Limit

router = APIRouter(tags=["bus"])
_COUNTED = 1000


async def bus_state(control: Control) -> BusState:
    return BusState(await control.bus.depth(), len(await control.bus.dead_letters(limit=_COUNTED)))


@router.get("/bus", responses=gives("BusState"))
async def read_bus(control: Controlled) -> Response:
    """Envelopes not yet settled per subscription, and the number of dead letters."""
    return Json(await bus_state(control))


@router.get("/bus/dead-letters", responses=gives("DeadLetterInfo", many=True))
async def dead_letters(control: Controlled, limit: Limit = 100) -> Response:
    """Oldest first, each with its cause; without the data."""
    found = [
        DeadLetterInfo(
            letter.id,
            letter.subscription,
            letter.envelope.topic,
            letter.envelope.key,
            letter.envelope.count,
            letter.cause,
            letter.attempts,
            letter.dead_ms,
        )
        for letter in await control.bus.dead_letters(limit=limit)
    ]
    return Json({"items": found})


@router.post("/bus/dead-letters/{letter_id:path}/redeliver", status_code=202)
async def redeliver(request: Request, control: Controlled, caller: Caller, letter_id: str) -> Response:
    """Back to its own subscription, attempts from 1."""
    await control.bus.redeliver(letter_id)
    note(request, caller, "dead letter redelivered", dead_letter=letter_id)
    return Json({"id": letter_id, "wanted": "redeliver"}, 202)
