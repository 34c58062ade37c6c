"""Sessions of apps: the access tokens that have not expired, and their end on all nodes at once."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.resources import Limit
from core.errors import InvalidInput, NotFound
from core.sessions import Scope
from gateway.tokens import LIFETIME_S

router = APIRouter(tags=["app sessions"])
App = Annotated[str, Query(max_length=190, description="of this app only")]
Device = Annotated[str, Query(max_length=190, description="of this device only")]


@router.get("/app-sessions", responses=gives("AppSession", many=True))
async def list_sessions(
    control: Controlled,
    app: App = "",
    device: Device = "",
    after: Annotated[str, Query(max_length=190, description="the last id of the page before")] = "",
    limit: Limit = 100,
) -> Response:
    """Newest first; a revoked one is shown until it would have expired. A token is listed within a second of its making."""
    return Json({"items": await control.app_sessions.list(app=app, device=device, after=after, limit=limit)})


@router.delete("/app-sessions/{session_id}", responses=gives("Revocation"))
async def revoke_session(request: Request, control: Controlled, caller: Caller, session_id: str) -> Response:
    """The token ends on every node within a second."""
    found = await control.app_sessions.get(session_id)
    if found is None:
        raise NotFound(f"there is no session {session_id[:40]}; it may have expired")
    done = await control.revoker.session(found.id, expires_ms=found.expires_ms, by=caller.name)
    note(request, caller, "session revoked", session=found.id, app=found.app)
    return Json(done)


@router.delete("/app-sessions", responses=gives("Revocation"))
async def revoke_all(request: Request, control: Controlled, caller: Caller, app: App = "", device: Device = "") -> Response:
    """Every token of one app, or of one device, that was made until now. The app may get new ones: disable it to prevent that."""
    if bool(app) == bool(device):
        raise InvalidInput("name either an app or a device: ?app=… or ?device=…")
    scope: Scope = "app" if app else "device"
    name = (await control.registry.get(scope, app or device)).name
    done = await control.revoker.all_of(scope, name, lifetime_s=LIFETIME_S, by=caller.name)
    note(request, caller, "sessions revoked", **{scope: name})
    return Json(done)
