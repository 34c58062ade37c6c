"""The connection test of a source."""

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.messages import SourceHealth
from core.errors import PlatformError

router = APIRouter(tags=["sources"])


@router.post("/sources/{name}/check", responses=gives("SourceHealth"))
async def check(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Connect, authenticate, one small call. 200 also where the source fails: `ok`, `code` and `detail` tell."""
    await control.registry.get("source", name)
    note(request, caller, "source checked", source=name)
    started = time.monotonic()
    code = detail = ""
    try:
        await control.sources.check(name)
    except PlatformError as error:
        code, detail = error.specific_code, error.detail
    return Json(SourceHealth(name, not code, round((time.monotonic() - started) * 1000), code, detail))
