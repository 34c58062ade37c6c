"""Token exchange (RFC 8693): a proxy that proves who it is gets a token to act for one of its apps, with the app's scopes or fewer.

The app is named by `audience` (its name or one of its AppKeys), or by a token of the app as `subject_token`, which also bounds
scopes and lifetime. That `audience` may do alone goes beyond the RFC: the registration under the proxy stands for the subject.
"""

import time
from collections.abc import Mapping, Sequence

from config.model import App
from core.errors import Unauthenticated
from gateway.oauth.client import Client, Form, Refused
from gateway.oauth.grant import Grant, admitted, narrowed
from gateway.revocations import Revocations
from gateway.stage import Request
from gateway.stages.authorise import Admission
from gateway.tokens import LIFETIME_S, Tokens
from registry.snapshot import Snapshot

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a name, no secret
_JWT = "urn:ietf:params:oauth:token-type:jwt"


class Exchange:
    """Decides; the token endpoint issues."""

    def __init__(self, snapshot: Snapshot, tokens: Tokens, admission: Admission, revocations: Revocations) -> None:
        self._apps: Mapping[str, App] = snapshot.platform.apps
        self._credentials = snapshot.credentials
        self._tokens = tokens
        self._admission = admission
        self._revocations = revocations

    def __call__(self, request: Request, client: Client, form: Form) -> Grant:
        if client.kind != "proxy":
            raise Refused("unauthorized_client", "only a proxy exchanges tokens; an app sends grant_type=client_credentials")
        if form.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, _JWT):
            raise Refused("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}")
        if "actor_token" in form:
            raise Refused("invalid_request", "actor_token is not taken: the proxy that sends the request is the actor")
        name, scopes, lifetime_s = self._subject(form)
        if name not in self._apps or self._apps[name].proxy != client.name:
            # One answer for an app that is not there and for one of another proxy.
            raise Refused("invalid_target", f"proxy {client.name} has no such app")
        app = admitted(self._admission, name, request.remote)
        allowed = [scope for scope in app.scopes if scopes is None or scope in scopes]
        return Grant(name, narrowed(form, allowed), lifetime_s, client.name)

    def _subject(self, form: Form) -> tuple[str, Sequence[str] | None, int]:
        """The app's name, the scopes of its token (None: not narrowed by one), the seconds that the new token may live."""
        audience = self._audience(form.get("audience", ""))
        if "subject_token" not in form:
            if not audience:
                raise Refused(
                    "invalid_request", "name the app: send audience=<app name or AppKey>, or a token of it as subject_token"
                )
            return audience, None, LIFETIME_S
        if form.get("subject_token_type") not in (ACCESS_TOKEN, _JWT):
            raise Refused("invalid_request", f"subject_token_type must be {ACCESS_TOKEN}")
        try:
            identity, expires = self._tokens.verify(form["subject_token"])
        except Unauthenticated as error:
            raise Refused("invalid_request", f"subject_token: {error.detail}") from None
        if self._revocations.is_revoked(identity.session, identity.app, identity.device):
            raise Refused("invalid_request", "subject_token: its session was revoked")
        if audience and audience != identity.app:
            raise Refused("invalid_target", "audience and subject_token name different apps")
        lives_s = max(1, min(LIFETIME_S, int(expires - time.time())))
        return identity.app, None if identity.scopes is None else sorted(identity.scopes), lives_s

    def _audience(self, given: str) -> str:
        """An app's name; an AppKey stands for the app that holds it."""
        credential = self._credentials.get(given)
        return credential.owner if credential is not None and credential.owner_kind == "app" else given
