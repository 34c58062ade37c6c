"""Who calls and what that user may: an operator everything, a viewer what reads. Every `/api/v1` router depends on `authorised`.

Refusing is the default: an endpoint that changes something needs an operator unless it is of the caller's own session.
"""

from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from console.api.control import Controlled
from console.api.problems import request_id
from core.errors import Forbidden, Unauthenticated
from core.secret import Secret
from registry.users import User

_log = structlog.get_logger("console.audit")
_bearer = HTTPBearer(auto_error=False, description="A session token (POST /api/v1/session) or an automation token")
_READS = frozenset({"GET", "HEAD"})


def bearer_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Secret:
    """The token that the request carries. Raises Unauthenticated."""
    if credentials is None or not credentials.credentials:
        raise Unauthenticated("send Authorization: Bearer with a session or automation token; POST /api/v1/session gives one")
    return Secret(credentials.credentials)


Token = Annotated[Secret, Depends(bearer_token)]


async def identified(control: Controlled, token: Token) -> User:
    """Any user; for what everybody may do with an own session."""
    return await control.users.identify(token)


Caller = Annotated[User, Depends(identified)]


async def authorised(request: Request, caller: Caller) -> None:
    """A viewer may read; all else needs an operator. Raises Forbidden."""
    if request.method not in _READS:
        _need_operator(caller)


async def operator_only(caller: Caller) -> None:
    """For what reads, yet not for a viewer."""
    _need_operator(caller)


def _need_operator(caller: User) -> None:
    if caller.role != "operator":
        raise Forbidden(f"user {caller.name} is a viewer and may only read; ask an operator")


def note(request: Request, caller: User, action: str, **facts: object) -> None:
    """Who did what that is no change of a resource (those are in the registry's audit): one line of the log."""
    _log.info(action, actor=caller.name, request_id=request_id(request), **facts)
