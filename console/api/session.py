"""Logging in and out, who one is, and one's own password. The only endpoints under `/api/v1` that a viewer may change things by."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller, Token, note
from console.api.control import Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import Identity, Login, OwnPassword, Session
from core.secret import Secret

router = APIRouter(prefix="/session", tags=["session"])


def client_address(request: Request) -> str:
    return request.client.host if request.client else ""


@router.post("", status_code=201, openapi_extra=takes("Login"), responses=gives("Session", status=201))
async def log_in(request: Request, control: Controlled) -> Response:
    """A token for 12 hours. 401 never says which of the two was wrong; 429 while the account is locked."""
    body = await read_json(request, Login)
    token, user = await control.users.login(body.name, Secret(body.password), address=client_address(request))
    note(request, user, "logged in", address=client_address(request))
    return Json(Session(token.reveal(), user.name, user.role), 201)


@router.get("", responses=gives("Identity"))
async def who_am_i(caller: Caller) -> Response:
    """The user of the token."""
    return Json(Identity(caller.name, caller.role))


@router.delete("", status_code=204)
async def log_out(request: Request, control: Controlled, caller: Caller, token: Token) -> Response:
    """The token ends."""
    await control.users.logout(token)
    note(request, caller, "logged out")
    return Response(status_code=204)


@router.put("/password", openapi_extra=takes("OwnPassword"), responses=gives("Session"))
async def change_password(request: Request, control: Controlled, caller: Caller) -> Response:
    """One's own password. Every session and token of the user ends; the answer has a new one."""
    body = await read_json(request, OwnPassword)
    address = client_address(request)
    await control.users.login(caller.name, Secret(body.current), address=address)  # throttled like any login
    await control.users.set_password(caller.name, Secret(body.new), actor=caller.name)
    token, user = await control.users.login(caller.name, Secret(body.new), address=address)
    return Json(Session(token.reveal(), user.name, user.role))
