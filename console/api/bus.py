"""The data bus: what waits, and the dead letters."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import BusState, DeadLetterInfo, ReplayWanted
from console.api.resources import Limit
from core.bus import DeadLetter, Span
from core.clock import epoch_ms

router = APIRouter(tags=["bus"])
_COUNTED = 1000


async def bus_state(control: Control) -> BusState:
    return BusState(await control.bus.depth(), len(await control.bus.dead_letters(limit=_COUNTED)))


def _info(letter: DeadLetter) -> DeadLetterInfo:
    envelope = letter.envelope
    known = (letter.id, letter.subscription, envelope.topic, envelope.key, envelope.count)
    return DeadLetterInfo(*known, letter.cause, letter.attempts, letter.dead_ms)


@router.get("/bus", responses=gives("BusState"))
async def read_bus(control: Controlled) -> Response:
    """Envelopes not yet settled per subscription, and the number of dead letters."""
    return Json(await bus_state(control))


@router.post("/bus/subscriptions/{name}/replay", openapi_extra=takes("ReplayWanted"), responses=gives("Replayed"))
async def replay(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Deliver once more, to this subscription alone, what was published in a time. With `dry_run`, the default, only count it."""
    wanted = await read_json(request, ReplayWanted)
    until_ms = epoch_ms() if wanted.until_ms is None else wanted.until_ms
    span = Span(wanted.since_ms, until_ms, wanted.pattern)
    told = await control.bus.past.replay(name, span, is_dry=wanted.dry_run)
    if not wanted.dry_run:
        note(request, caller, "replayed", subscription=name, pattern=span.pattern, envelopes=told.envelopes)
    return Json(told)


@router.get("/bus/dead-letters", responses=gives("DeadLetterInfo", many=True))
async def dead_letters(control: Controlled, limit: Limit = 100) -> Response:
    """Oldest first, each with its cause; without the data."""
    return Json({"items": [_info(letter) for letter in await control.bus.dead_letters(limit=limit)]})


@router.post("/bus/dead-letters/{letter_id:path}/redeliver", status_code=202)
async def redeliver(request: Request, control: Controlled, caller: Caller, letter_id: str) -> Response:
    """Back to its own subscription, attempts from 1."""
    await control.bus.redeliver(letter_id)
    note(request, caller, "dead letter redelivered", dead_letter=letter_id)
    return Json({"id": letter_id, "wanted": "redeliver"}, 202)


@router.post("/bus/dead-letters/{letter_id:path}/discard", responses=gives("DeadLetterInfo"))
async def discard(request: Request, control: Controlled, caller: Caller, letter_id: str) -> Response:
    """Give it up for good: it is delivered no more. The log says who did it and what it was."""
    letter = await control.bus.discard(letter_id)
    found = _info(letter)
    note(request, caller, "dead letter discarded", dead_letter=letter_id, subscription=found.subscription, topic=found.topic)
    return Json(found)
