"""The answers that gateways keep (the cache policy of a route or service): forgotten on all nodes at once."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Controlled
from console.api.json_io import Json, gives
from core.errors import InvalidInput, NotFound
from gateway.http1.fields import MAX_TARGET
from gateway.http1.refused import Refused
from gateway.http1.target import normalised

router = APIRouter(tags=["cached answers"])


@router.delete("/cached-answers", responses=gives("Purge"))
async def purge(
    request: Request,
    control: Controlled,
    caller: Caller,
    route: Annotated[str, Query(min_length=1, max_length=190, description="a route or service")],
    prefix: Annotated[
        str, Query(max_length=MAX_TARGET, description="only targets (path and query) that begin so, as callers send them")
    ] = "",
) -> Response:
    """Forget the answers of a route or service in every worker of every node, within a second; what is on its way to be kept, too.
    Repeating it does no harm."""
    await _check_known(control, route)
    done = await control.purger.purge(route, _normal(prefix), by=caller.name)
    note(request, caller, "cached answers purged", route=route, prefix=done.prefix)
    return Json(done)


async def _check_known(control: Controlled, name: str) -> None:
    for kind in ("route", "service"):
        try:
            await control.registry.get(kind, name)
        except NotFound:
            continue
        return
    raise NotFound(f"there is no route and no service {name[:40]}")


def _normal(prefix: str) -> str:
    """As the targets are that it is compared with."""
    if not prefix:
        return ""
    try:
        return normalised(prefix.encode("utf-8"), b"GET")[0].decode("ascii")
    except Refused as refused:
        raise InvalidInput(f"prefix: {refused.detail}") from None
