"""Bad rows: what is wrong with each, and the person's decision: replay, mended or not, or discard (requirement 0.31)."""

import base64
import binascii
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import MendedRow, QuarantinedRow, RowState
from console.api.resources import Limit
from core.errors import Conflict, InvalidInput, NotFound
from core.stores import Quarantined

router = APIRouter(tags=["quarantine"])
State = Literal["waiting", "replayed", "discarded"]
_ENCODINGS = ("utf-8", "gb18030")


def shown(row: Quarantined, *, with_raw: bool = False) -> QuarantinedRow:
    """A row fit to be shown; its bytes only where asked for."""
    known = (row.id, row.job, row.dataset, row.batch_id, row.at_ms, row.reason, row.place, row.columns, row.state)
    if not with_raw:
        return QuarantinedRow(*known)
    return QuarantinedRow(*known, base64.b64encode(row.raw).decode(), best_effort_text(row.raw))


def best_effort_text(raw: bytes) -> str:
    """For a person to look at: in the first encoding that fits, else with replacement characters."""
    for encoding in _ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", errors="replace")


async def _row(control: Control, row_id: str) -> Quarantined:
    row = await control.quarantine.get(row_id)
    if row is None:
        raise NotFound(f"quarantine has no row {row_id[:40]}")
    return row


@router.get("/quarantine", responses=gives("QuarantinedRow", many=True))
async def list_rows(
    control: Controlled,
    dataset: Annotated[str | None, Query(description="<source>.<dataset>")] = None,
    state: State = "waiting",
    limit: Limit = 100,
) -> Response:
    """Rows of one state, oldest first, without their bytes."""
    return Json({"items": [shown(row) for row in await control.quarantine.rows(dataset=dataset, state=state, limit=limit)]})


@router.get("/quarantine/{row_id}", responses=gives("QuarantinedRow"))
async def read_row(control: Controlled, caller: Caller, row_id: str) -> Response:
    """One row; an operator also gets its bytes as base64 and as text."""
    return Json(shown(await _row(control, row_id), with_raw=caller.role == "operator"))


@router.post("/quarantine/{row_id}/replay", openapi_extra=takes("MendedRow", required=False), responses=gives("RowState"))
async def replay(request: Request, control: Controlled, caller: Caller, row_id: str) -> Response:
    """Convert the row again, or the mended bytes, and publish it. 400 `still_bad` where it can't be converted."""
    body = await read_json(request, MendedRow, default=MendedRow())
    await control.quarantine_replay.replay(row_id, _decoded(body.raw_base64))
    note(request, caller, "quarantined row replayed", row=row_id, is_mended=body.raw_base64 is not None)
    return Json(RowState(row_id, "replayed"))


@router.post("/quarantine/{row_id}/discard", responses=gives("RowState"))
async def discard(request: Request, control: Controlled, caller: Caller, row_id: str) -> Response:
    """Settle the row for good; it stays readable under state=discarded."""
    row = await _row(control, row_id)
    if row.state != "waiting":
        raise Conflict(f"row {row_id} was {row.state} already")
    await control.quarantine.settle(row_id, "discarded")
    note(request, caller, "quarantined row discarded", row=row_id)
    return Json(RowState(row_id, "discarded"))


def _decoded(raw_base64: str | None) -> bytes | None:
    if raw_base64 is None:
        return None
    try:
        return base64.b64decode(raw_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("raw_base64: not base64 (RFC 4648)") from error
