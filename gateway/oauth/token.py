"""`POST /oauth2/token`: client credentials (RFC 6749 §4.4) and token exchange (RFC 8693), bound by DPoP (RFC 9449) where a proof
comes along. Every token is a session."""

import inspect
from collections.abc import Awaitable
from typing import Protocol

from config.model import Device
from core.clock import epoch_ms
from core.errors import ConfigError, Unauthenticated
from core.ids import new_id
from core.sessions import AppSession
from gateway.access.jwk import thumbprint
from gateway.oauth.client import Client, Form, Refused
from gateway.oauth.exchange import ACCESS_TOKEN, EXCHANGE, Exchange
from gateway.oauth.grant import Grant, admitted, narrowed
from gateway.stage import Request
from gateway.stages.authorise import Admission
from gateway.tokens import LIFETIME_S, Tokens
from registry.snapshot import Snapshot

CREDENTIALS = "client_credentials"


class Proofs(Protocol):
    """Checks DPoP proofs."""

    def check(self, request: Request, *, token: str | None) -> str | Awaitable[str]:
        """The thumbprint (RFC 7638) of the key that made the request's proof. Raises Unauthenticated."""
        ...


class SessionSink(Protocol):
    """Where issued sessions go."""

    def add(self, session: AppSession) -> None:
        """Neither waits nor raises."""
        ...


class TokenEndpoint:
    """Answers `{"access_token", "token_type", "expires_in", "scope"}`, for an exchange `issued_token_type` too."""

    def __init__(
        self, snapshot: Snapshot, tokens: Tokens, admission: Admission, exchange: Exchange, sessions: SessionSink, proofs: Proofs
    ) -> None:
        self._tokens = tokens
        self._admission = admission
        self._exchange = exchange
        self._sessions = sessions
        self._proofs = proofs
        self._devices = DeviceKeys(snapshot.platform.devices)

    async def __call__(self, request: Request, client: Client, form: Form) -> object:
        kind = form.get("grant_type")
        if not kind:
            raise Refused("invalid_request", f"grant_type is missing; send grant_type={CREDENTIALS}")
        if kind not in (CREDENTIALS, EXCHANGE):
            raise Refused("unsupported_grant_type", f"grant_type must be {CREDENTIALS} or {EXCHANGE}")
        grant = self._exchange(request, client, form) if kind == EXCHANGE else self._own(request, client, form)
        jkt = await self._proved(request)
        token = self._issued(grant, client, request.remote, jkt)
        answer: dict[str, object] = {"access_token": token, "token_type": "DPoP" if jkt else "Bearer"}
        answer |= {"expires_in": grant.lifetime_s, "scope": " ".join(grant.scopes)}
        return answer | ({"issued_token_type": ACCESS_TOKEN} if kind == EXCHANGE else {})

    def _own(self, request: Request, client: Client, form: Form) -> Grant:
        if client.kind != "app":
            raise Refused("unauthorized_client", f"a proxy gets tokens for its apps: send grant_type={EXCHANGE}")
        app = admitted(self._admission, client.name, request.remote)
        return Grant(client.name, narrowed(form, app.scopes), LIFETIME_S)

    async def _proved(self, request: Request) -> str:
        """The thumbprint of the key that the token is bound to; empty without a proof."""
        if "dpop" not in request.headers:
            return ""
        try:
            found = self._proofs.check(request, token=None)
            return await found if inspect.isawaitable(found) else found
        except Unauthenticated as error:
            raise Refused("invalid_dpop_proof", error.detail) from None  # RFC 9449 §5

    def _issued(self, grant: Grant, client: Client, remote: str, jkt: str) -> str:
        device = self._devices.of(grant.app, jkt) if jkt else ""
        session, now_ms = new_id(), epoch_ms()
        token = self._tokens.make(
            grant.app,
            client.key,
            grant.scopes,
            session=session,
            jkt=jkt,
            device=device,
            actor=grant.actor,
            lifetime_s=grant.lifetime_s,
        )
        expires_ms = now_ms + grant.lifetime_s * 1000
        self._sessions.add(AppSession(session, grant.app, client.key, device, grant.actor, remote, now_ms, expires_ms))
        return token


class DeviceKeys:
    """Which device has the key of a thumbprint."""

    def __init__(self, devices: dict[str, Device]) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._thumbprints: set[str] = set()
        for name, device in devices.items():
            try:
                jkt = thumbprint(device.key)
            except ConfigError:
                continue  # such a device proves nothing; config/check names it
            self._thumbprints.add(jkt)
            if device.enabled:
                self._names[device.app, jkt] = name

    def of(self, app: str, jkt: str) -> str:
        """The name of the app's device; empty for a key that no device has. Refused for one that may not be used here: its device
        is disabled, or another app's."""
        name = self._names.get((app, jkt), "")
        if not name and jkt in self._thumbprints:
            raise Refused("invalid_dpop_proof", f"the device of this key is disabled, or it is not one of app {app}")
        return name
