"""Every change of every resource: who, when, before and after."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.resources import Limit

router = APIRouter(tags=["audit"])


@router.get("/audit", responses=gives("AuditEntry", many=True))
async def read_audit(
    control: Controlled,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1, description="only entries before this revision")] = None,
) -> Response:
    """Newest first, secrets as `***`; `before` gives the page after."""
    return Json({"items": await control.registry.audit(before=before, limit=limit)})
