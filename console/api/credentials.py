"""AppKey and AppSecret of apps and proxies. A secret is shown in the answer that makes it, and never again."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.access import Caller
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import CredentialInfo, IssuedCredential, Rotation
from core.errors import NotFound
from registry.credentials import Issued, OwnerKind

router = APIRouter(tags=["credentials"])
Section = Literal["apps", "proxies"]
_OWNER_KINDS: dict[str, OwnerKind] = {"apps": "app", "proxies": "proxy"}


def _shown(issued: Issued) -> IssuedCredential:
    return IssuedCredential(issued.key, issued.secret.reveal())


async def _check_owner(control: Control, section: Section, name: str, key: str) -> None:
    known = await control.credentials.of(_OWNER_KINDS[section], name)
    if not any(each.key == key for each in known):
        raise NotFound(f"{_OWNER_KINDS[section]} {name} has no credential {key[:40]}")


@router.get("/{section}/{name}/credentials", responses=gives("CredentialInfo", many=True))
async def list_credentials(control: Controlled, section: Section, name: str) -> Response:
    """The keys of an app or proxy, without secrets."""
    await control.registry.get(_OWNER_KINDS[section], name)
    found = await control.credentials.of(_OWNER_KINDS[section], name)
    return Json(
        {"items": [CredentialInfo(each.key, each.owner_kind, each.owner, each.created_ms, each.overlap_ends_ms) for each in found]}
    )


@router.post("/{section}/{name}/credentials", status_code=201, responses=gives("IssuedCredential", status=201))
async def issue(control: Controlled, caller: Caller, section: Section, name: str) -> Response:
    """A new key and secret."""
    return Json(_shown(await control.credentials.issue(_OWNER_KINDS[section], name, actor=caller.name)), 201)


@router.post(
    "/{section}/{name}/credentials/{key}/rotate",
    openapi_extra=takes("Rotation", required=False),
    responses=gives("IssuedCredential"),
)
async def rotate(request: Request, control: Controlled, caller: Caller, section: Section, name: str, key: str) -> Response:
    """A new secret for the key; the one before works `overlap_s` longer (a day)."""
    body = await read_json(request, Rotation, default=Rotation())
    await _check_owner(control, section, name, key)
    return Json(_shown(await control.credentials.rotate(key, overlap_s=body.overlap_s, actor=caller.name)))


@router.delete("/{section}/{name}/credentials/{key}", status_code=204)
async def revoke(control: Controlled, caller: Caller, section: Section, name: str, key: str) -> Response:
    """The key ends at once."""
    await _check_owner(control, section, name, key)
    await control.credentials.revoke(key, actor=caller.name)
    return Response(status_code=204)
