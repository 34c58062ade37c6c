"""Console users, for operators only."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from console.api.access import Caller, note, operator_only
from console.api.control import Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import AutomationToken, Identity, NewPassword, NewRole, NewToken, NewUser
from core.secret import Secret

router = APIRouter(prefix="/users", tags=["users"], dependencies=[Depends(operator_only)])


@router.get("", responses=gives("Identity", many=True))
async def list_users(control: Controlled) -> Response:
    """By name."""
    return Json({"items": [Identity(user.name, user.role) for user in await control.users.all()]})


@router.post("", status_code=201, openapi_extra=takes("NewUser"), responses=gives("Identity", status=201))
async def create_user(request: Request, control: Controlled, caller: Caller) -> Response:
    """A new user: `operator` or `viewer`."""
    body = await read_json(request, NewUser)
    made = await control.users.create(body.name, Secret(body.password), body.role, actor=caller.name)
    return Json(Identity(made.name, made.role), 201)


@router.put("/{name}/password", status_code=204, openapi_extra=takes("NewPassword"))
async def set_password(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Ends the user's sessions and tokens, and any lock of the account."""
    body = await read_json(request, NewPassword)
    await control.users.set_password(name, Secret(body.password), actor=caller.name)
    return Response(status_code=204)


@router.put("/{name}/role", status_code=204, openapi_extra=takes("NewRole"))
async def set_role(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Holds from the user's next request on. 409 where no operator would be left."""
    body = await read_json(request, NewRole)
    await control.users.set_role(name, body.role, actor=caller.name)
    return Response(status_code=204)


@router.delete("/{name}", status_code=204)
async def delete_user(control: Controlled, caller: Caller, name: str) -> Response:
    """Ends the user's sessions too. 409 for the last operator."""
    await control.users.delete(name, actor=caller.name)
    return Response(status_code=204)


@router.post(
    "/{name}/tokens",
    status_code=201,
    openapi_extra=takes("NewToken", required=False),
    responses=gives("AutomationToken", status=201),
)
async def issue_token(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """A token for scripts, with the user's role; at most a year. It ends with the next password change."""
    body = await read_json(request, NewToken, default=NewToken())
    token = await control.users.issue_token(name, ttl_s=body.ttl_s)
    note(request, caller, "automation token issued", user=name, ttl_s=body.ttl_s)
    return Json(AutomationToken(name, token.reveal(), body.ttl_s), 201)
