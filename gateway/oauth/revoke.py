"""`POST /oauth2/revoke` (RFC 7009): a client ends a token of its own, on all nodes. What is no token of ours counts as ended."""

from core.errors import Unauthenticated
from gateway.oauth.client import Client, Form, Refused
from gateway.revocations import Revocations
from gateway.stage import Request
from gateway.tokens import Tokens
from registry.app_sessions import Revoker


class RevokeEndpoint:
    """An app ends what was issued for it, by a proxy too; a proxy what was issued to it."""

    def __init__(self, tokens: Tokens, revocations: Revocations, revoker: Revoker) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._revoker = revoker

    async def __call__(self, request: Request, client: Client, form: Form) -> object:
        """`token_type_hint` is ignored: there is one type (§2.1). Unavailable (503, §2.2.1) while the database is down: the nodes
        know by then, and the client asks again to have it kept."""
        if not form.get("token"):
            raise Refused("invalid_request", "token is missing")
        try:
            identity, expires = self._tokens.verify(form["token"])
        except Unauthenticated:
            return {}
        if client.name != (identity.app if client.kind == "app" else identity.actor):
            raise Refused("unauthorized_client", "the token was not issued to this client")
        if not identity.session or self._revocations.is_revoked(identity.session, identity.app, identity.device):
            return {}
        by = f"{client.kind} {client.name}"
        self._revocations.revoke([await self._revoker.session(identity.session, expires_ms=int(expires * 1000), by=by)])
        return {}
