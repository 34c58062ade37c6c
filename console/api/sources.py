"""The connection test of a source, and what one of its files says about its own form."""

import asyncio
import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.messages import SourceHealth
from core.errors import PlatformError
from exchange.formats.detect import detect

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


@router.post("/sources/{name}/datasets/{dataset}/detect", responses=gives("Detected"))
async def detect_format(request: Request, control: Controlled, caller: Caller, name: str, dataset: str) -> Response:
    """Encoding, delimiter, quote and header of the dataset's first CSV file: a proposal to declare. Jobs guess nothing."""
    await control.registry.get("source", name)
    note(request, caller, "source looked at", source=name, dataset=dataset)
    found = await asyncio.to_thread(detect, await control.sources.sample(name, dataset))
    return Json(found)
