"""What an app has used, by hour or day: what the app itself reads at the gateway's `/usage`."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from console.api.control import Controlled
from console.api.json_io import Json, gives
from core.errors import Unavailable
from gateway.usage import report_of, span_of

router = APIRouter(tags=["usage"])


@router.get("/usage", responses=gives("UsageReport"))
async def usage(
    control: Controlled,
    app: Annotated[str, Query(max_length=100)],
    since: Annotated[str, Query(alias="from", max_length=64, description="a date, or an RFC 3339 time")] = "",
    until: Annotated[str, Query(alias="to", max_length=64, description="not part of it; now where it is left out")] = "",
    by: Annotated[str, Query(max_length=10, description="`hour` or `day`")] = "day",
) -> Response:
    """Requests, errors, refusals by limits and bytes of one app, for each route or service. Gateways add to it every 5 s."""
    if control.usage is None:
        raise Unavailable("usage is not kept on this node")
    await control.registry.get("app", app)
    return Json(await report_of(control.usage, app, span_of(since, until, by, now=datetime.now(UTC))))
