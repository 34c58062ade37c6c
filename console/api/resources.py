"""Declared resources, one set of endpoints for each of `config.model.KINDS`: list, read, put, merge, delete."""

import re
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from config.model import KINDS
from console.api.access import Caller
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_object, takes
from console.api.messages import Stored
from core.errors import Conflict, InvalidInput, NotFound
from core.stores import Resource
from registry.changes import RevisionMoved

IfMatch = Annotated[str | None, Header(description='the version that was read, such as "12"')]
IfNoneMatch = Annotated[str | None, Header(description="`*`: only if there is none yet")]
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str, Query(description="the last name of the page before")]
_ETAG = re.compile(r'"?([0-9]{1,18})"?')
_MERGE_TURNS = 5


def stored(resource: Resource) -> Stored:
    return Stored(resource.name, resource.version, resource.changed_ms, resource.body)


def page(items: list[Resource], limit: int, after: str) -> list[Resource]:
    """By name, those after the given one."""
    return sorted((item for item in items if item.name > after), key=lambda item: item.name)[:limit]


def merged(old: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7396 §2): null removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


async def _expected(control: Control, kind: str, name: str, if_match: str | None, if_none_match: str | None) -> int | None:
    """The version that the request insists on: 0 for none yet, None where it does not mind (RFC 9110 §13.1)."""
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise InvalidInput("If-None-Match: only * is understood here")
        return 0
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return (await control.registry.get(kind, name)).version
    found = _ETAG.fullmatch(if_match.strip())
    if not found:
        raise InvalidInput(f'If-Match: expected a version such as "12", got {if_match[:40]}')
    return int(found[1])


def _precondition(error: Conflict, expected: int | None) -> Conflict:
    """What the caller's own precondition refuses is 412; other conflicts stay what they are."""
    is_own = expected is not None and type(error) is Conflict and error.specific_code == Conflict.code
    return Conflict(error.detail, code="etag_mismatch") if is_own else error


def _answer(resource: Resource, status: int = 200) -> Json:
    return Json(stored(resource), status, {"ETag": f'"{resource.version}"'})


class ResourceEndpoints:
    """The endpoints of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    async def list(self, control: Controlled, limit: Limit = 100, after: After = "") -> Response:
        """A page of resources by name; `after` goes on where the last page ended."""
        found = page(await control.registry.list(self._kind), limit, after)
        return Json({"items": [stored(resource) for resource in found]})

    async def read(self, control: Controlled, name: str) -> Response:
        """One resource, secrets as `***`; its version is in `ETag`."""
        return _answer(await control.registry.get(self._kind, name))

    async def put(
        self,
        request: Request,
        control: Controlled,
        caller: Caller,
        name: str,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Make or replace. `***` keeps a secret. `If-Match` and `If-None-Match: *` refuse with 412."""
        body = await read_object(request)
        expected = await _expected(control, self._kind, name, if_match, if_none_match)
        before = await self._version(control, name)
        try:
            resource = await control.registry.put(self._kind, name, body, expected=expected, actor=caller.name)
        except Conflict as error:
            raise _precondition(error, expected) from error
        return _answer(resource, 200 if before else 201)

    async def _version(self, control: Control, name: str) -> int:
        try:
            return (await control.registry.get(self._kind, name)).version
        except NotFound:
            return 0

    async def merge(self, request: Request, control: Controlled, caller: Caller, name: str, if_match: IfMatch = None) -> Response:
        """Change the fields given (RFC 7396 merge patch: null removes), keep the others."""
        patch = await read_object(request)
        expected = await _expected(control, self._kind, name, if_match, None)
        for turn in range(_MERGE_TURNS):
            old = await control.registry.get(self._kind, name)
            seen = old.version if expected is None else expected
            try:
                body = merged(old.body, patch)
                return _answer(await control.registry.put(self._kind, name, body, expected=seen, actor=caller.name))
            except RevisionMoved:
                raise
            except Conflict as error:
                # Somebody was faster: without a precondition of the caller's the patch holds on the new state too.
                if expected is not None or turn == _MERGE_TURNS - 1:
                    raise _precondition(error, expected) from error
        raise Conflict(f"{self._kind} {name} keeps changing; try again")

    async def delete(self, control: Controlled, caller: Caller, name: str, if_match: IfMatch = None) -> Response:
        """Delete. 409 names what still refers to it; an app's or proxy's credentials go with it."""
        expected = await _expected(control, self._kind, name, if_match, None)
        try:
            await control.registry.delete(self._kind, name, expected=expected, actor=caller.name)
        except Conflict as error:
            raise _precondition(error, expected) from error
        return Response(status_code=204)


def resource_routers() -> APIRouter:
    """All kinds. What a job shows besides its body is of `console.api.jobs`, so its reading endpoints are there."""
    router = APIRouter()
    for kind, (section, part) in KINDS.items():
        ends = ResourceEndpoints(kind)
        one, body = f"/{section}/{{name}}", takes(part.__name__)
        tags: list[str | Enum] = [section]
        if kind != "job":
            router.add_api_route(f"/{section}", ends.list, name=f"list {section}", tags=tags, responses=gives("Stored", many=True))
            router.add_api_route(one, ends.read, name=f"read {kind}", tags=tags, responses=gives("Stored"))
        put, patch = gives("Stored"), takes(part.__name__, media_type="application/merge-patch+json")
        router.add_api_route(one, ends.put, methods=["PUT"], name=f"put {kind}", tags=tags, openapi_extra=body, responses=put)
        router.add_api_route(
            one, ends.merge, methods=["PATCH"], name=f"merge {kind}", tags=tags, openapi_extra=patch, responses=put
        )
        router.add_api_route(one, ends.delete, methods=["DELETE"], name=f"delete {kind}", tags=tags, status_code=204)
    return router
