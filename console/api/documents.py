"""The platform document as a whole: apply, diff, export, rollback, and the schema that editors check it with."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from config.schema import json_schema
from console.api.access import Caller, operator_only
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import Applied, DocumentBody, RollbackBody

router = APIRouter(tags=["platform document"])


@router.post("/apply", openapi_extra=takes("DocumentBody"), responses=gives("Applied"))
async def apply(request: Request, control: Controlled, caller: Caller) -> Response:
    """Make the registry hold what the document says, all or nothing. `prune` deletes what it lacks; `dry_run` changes nothing."""
    body = await read_json(request, DocumentBody)
    if body.dry_run:
        return Json(await _wished(control, body))
    done = await control.registry.apply(body.document, actor=caller.name, prune=body.prune)
    changes = [each for each in done if each.action != "same"]
    return Json(Applied(await control.registry.revision(), changes, len(done) - len(changes), dry_run=False))


@router.post("/diff", openapi_extra=takes("DocumentBody"), responses=gives("Applied"), dependencies=[Depends(operator_only)])
async def diff(request: Request, control: Controlled) -> Response:
    """What `apply` would do; secrets are masked."""
    return Json(await _wished(control, await read_json(request, DocumentBody)))


@router.post("/rollback", openapi_extra=takes("RollbackBody"), responses=gives("Applied"))
async def rollback(request: Request, control: Controlled, caller: Caller) -> Response:
    """Make everything declared what it was at an earlier revision, as one more audited change; `dry_run` changes nothing. Keys,
    users and signing keys stay as they are. 409 where the audit does not reach back, 422 where what was then no longer holds."""
    body = await read_json(request, RollbackBody)
    found = await control.registry.rollback(body.revision, actor=caller.name, dry_run=body.dry_run)
    changes = [each for each in found if each.action != "same"]
    return Json(Applied(await control.registry.revision(), changes, len(found) - len(changes), dry_run=body.dry_run))


async def _wished(control: Control, body: DocumentBody) -> Applied:
    found = await control.registry.diff(body.document, prune=body.prune)
    changes = [each for each in found if each.action != "same"]
    return Applied(await control.registry.revision(), changes, len(found) - len(changes), dry_run=True)


@router.get("/export", dependencies=[Depends(operator_only)])
async def export(control: Controlled) -> Response:
    """The whole as a document, secrets as `sealed:…`, which an installation with the same master key applies again."""
    return Json(await control.registry.export())


@router.get("/schema")
async def schema(control: Controlled) -> Response:
    """The JSON Schema (2020-12) of `platform.yaml`."""
    return Json(json_schema(control.adapters))
