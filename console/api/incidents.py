"""What failed and waits for somebody: the list, and a person's word on each (requirement 2.12)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.resources import Limit
from core.incidents import IncidentState

router = APIRouter(tags=["incidents"])


@router.get("/incidents", responses=gives("Incident", many=True))
async def list_incidents(
    control: Controlled,
    state: Annotated[IncidentState | None, Query(description="without it: what is not resolved")] = None,
    limit: Limit = 100,
) -> Response:
    """Incidents, newest first."""
    return Json({"items": await control.incidents.listed(state=state, limit=limit)})


@router.post("/incidents/{incident_id}/acknowledge", responses=gives("Incident"))
async def acknowledge(request: Request, control: Controlled, caller: Caller, incident_id: str) -> Response:
    """Somebody looks after it: it is not escalated. 409 where it is resolved."""
    incident = await control.incidents.settle(incident_id, "acknowledged", by=caller.name)
    note(request, caller, "incident acknowledged", incident=incident_id)
    return Json(incident)


@router.post("/incidents/{incident_id}/resolve", responses=gives("Incident"))
async def resolve(request: Request, control: Controlled, caller: Caller, incident_id: str) -> Response:
    """It is over; the next failure is a new incident. A run that ends well does this by itself."""
    incident = await control.incidents.settle(incident_id, "resolved", by=caller.name)
    note(request, caller, "incident resolved", incident=incident_id)
    return Json(incident)
