"""`POST /oauth2/introspect` (RFC 7662): whether a token would be let in now, and what it says.

Asked by an app about its own tokens, by a proxy about those of its apps; about any other it learns `{"active": false}` only.
"""

import time
from typing import Any

import msgspec

from core.errors import Forbidden, Unauthenticated
from gateway.access import jwt
from gateway.oauth.client import Client, Form, Refused
from gateway.revocations import Revocations
from gateway.stage import Request
from gateway.stages.authorise import Admission
from gateway.tokens import TokenClaims, Tokens

_INACTIVE = {"active": False}


class IntrospectEndpoint:
    """A token of an app that is disabled, or whose caller is off its addresses, is not active."""

    def __init__(self, tokens: Tokens, admission: Admission, revocations: Revocations) -> None:
        self._tokens = tokens
        self._admission = admission
        self._revocations = revocations

    async def __call__(self, request: Request, client: Client, form: Form) -> object:
        if not form.get("token"):
            raise Refused("invalid_request", "token is missing")
        try:
            token = jwt.parsed(form["token"].encode("ascii", "replace"))
            claims = self._tokens.read(token, time.time())
            identity = self._tokens.identity(claims)
            app = self._admission.admit_caller(identity, request.remote)
        except (Unauthenticated, Forbidden):
            return _INACTIVE
        is_own = client.name == (identity.app if client.kind == "app" else app.proxy)
        is_ended = self._revocations.is_revoked(identity.session, identity.app, identity.device)
        return _told(claims) if is_own and not is_ended else _INACTIVE


def _told(claims: TokenClaims) -> dict[str, Any]:
    """§2.2; `cnf` as RFC 9449 §6.2, `act` as RFC 8693 §4.1."""
    said: dict[str, Any] = msgspec.to_builtins(claims)
    if claims.cnf is not None:
        said["cnf"] = {name: value for name, value in said["cnf"].items() if value}
    kind = "DPoP" if claims.cnf is not None else "Bearer"
    return {"active": True, "token_type": kind, **{name: value for name, value in said.items() if value}}
