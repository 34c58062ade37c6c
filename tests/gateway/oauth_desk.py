"""The OAuth endpoints with everything real behind them: the desk's platform, proxies that have keys, devices."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cache.replays_memory import MemoryReplays
from config.settings import Settings
from config.upstreams import Match
from core.errors import PlatformError
from core.ids import new_id
from core.secret import Secret
from core.sessions import AppSession
from gateway.access.dpop import DpopProofs
from gateway.access.jwk import packed, thumbprint
from gateway.oauth.client import MAX_FORM_BYTES
from gateway.oauth.endpoints import oauth_endpoints
from gateway.pipe import Pipe, run
from gateway.problems import problem
from gateway.revocations import Revocations
from gateway.router import Router
from gateway.session_log import SessionLog
from gateway.sessions import SessionParts
from gateway.stage import Response
from gateway.stages.authorise import Admission
from gateway.tokens import Tokens
from registry.app_sessions import Revoker, SqlAppSessions
from registry.credentials import Credentials, Issued
from registry.registry import Registry
from registry.snapshot import build_snapshot
from registry.tokens import SigningKeys
from server.parts import Parts, open_parts
from tests.gateway.desk import basic, document, json_of, request_of

ISSUER = "http://api.example.com"
GRANT = {"grant_type": "client_credentials"}


class DeviceKey:
    """A key that proves its requests (RFC 9449)."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": packed(self._private.public_key().public_bytes_raw()).decode()}
        self.jkt = thumbprint(self.jwk)

    def proof(self, path: str = "/oauth2/token", **changed: Any) -> str:
        header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": self.jwk}
        claims = {"htm": "POST", "htu": f"http://gateway{path}", "iat": int(time.time()), "jti": new_id(), **changed}
        data = b".".join(packed(msgspec.json.encode(part)) for part in (header, claims))
        return (data + b"." + packed(self._private.sign(data))).decode()


def declared(till: DeviceKey, lost: DeviceKey, foreign: DeviceKey) -> dict[str, Any]:
    """The desk's platform, with a device that works, one that is disabled and one of another app, and a second proxy."""
    whole = document()
    whole["proxies"]["rival"] = {}
    whole["apps"]["resting"] = {"plan": "gold", "scopes": ["customers:read"], "proxy": "partner", "enabled": False}
    whole["devices"] = {
        "till-1": {"app": "shop", "key": till.jwk},
        "till-2": {"app": "shop", "key": lost.jwk, "enabled": False},
        "kiosk": {"app": "reader", "key": foreign.jwk},
    }
    return whole


@dataclass(frozen=True)
class OAuth:
    """`post` is what a listener does with a form."""

    parts: Parts
    issued: Mapping[str, Issued]  # by app or proxy
    keys: Mapping[str, DeviceKey]
    tokens: Tokens
    revocations: Revocations
    sessions: SqlAppSessions
    log: SessionLog
    router: Router

    async def post(
        self,
        endpoint: str,
        form: Mapping[str, str] | bytes,
        client: str | None = "shop",
        *,
        remote: str = "10.9.1.1",
        **headers: str,
    ) -> Response:
        """As the app or proxy `client`, by HTTP Basic; None: without a login."""
        sent = {"content-type": "application/x-www-form-urlencoded", **headers}
        if client is not None:
            sent.setdefault("authorization", self.login(client))
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        return await self.ask("POST", f"/oauth2/{endpoint}", headers=sent, body=body, remote=remote)

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", remote: str = "10.9.1.1"
    ) -> Response:
        request = request_of(method, path, headers=headers, body=body, remote=remote)
        try:
            return await run(self.router.find(request), request)
        except PlatformError as error:
            return problem(error, request)

    def login(self, client: str) -> str:
        return basic(self.issued[client].key, self.issued[client].secret.reveal())

    async def token(self, client: str = "shop", **form: str) -> str:
        """An access token that was really issued."""
        response = await self.post("token", {**GRANT, **form}, client)
        assert response.status == 200, response.body
        return str(json_of(response)["access_token"])

    async def listed(self, app: str = "") -> list[AppSession]:
        await self.log.flush()
        return list(await self.sessions.list(app=app))

    def error(self, response: Response) -> tuple[int, str]:
        """Status and code of a refusal in the form of RFC 6749 §5.2."""
        assert ("Cache-Control", "no-store") in response.headers
        body = json_of(response)
        assert set(body) == {"error", "error_description"}
        return response.status, body["error"]


@asynccontextmanager
async def open_oauth(folder: Path, *, sessions: type[SqlAppSessions] = SqlAppSessions) -> AsyncIterator[OAuth]:
    """Everything on SQLite in `folder`."""
    keys = {name: DeviceKey() for name in ("till-1", "till-2", "kiosk", "own")}
    whole = declared(keys["till-1"], keys["till-2"], keys["kiosk"])
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=folder, master_key=Secret("m" * 32), plugins=("tests.gateway.ledger",))
        parts = await open_parts(settings, stack, role="gateway-0")
        await SigningKeys(parts.resources, parts.vault).ensure()
        await Registry(parts.resources, parts.vault, parts.adapters).apply(whole, actor="test")
        credentials = Credentials(parts.resources, parts.vault)
        issued = {name: await credentials.issue("app", name, actor="test") for name in whole["apps"]}
        issued |= {name: await credentials.issue("proxy", name, actor="test") for name in whole["proxies"]}
        yield await opened(parts, issued, keys, sessions(parts.database))


async def opened(parts: Parts, issued: Mapping[str, Issued], keys: Mapping[str, DeviceKey], store: SqlAppSessions) -> OAuth:
    """The endpoints of the registry's present state."""
    snapshot = await build_snapshot(parts.resources, parts.vault, parts.adapters)
    revocations, log = Revocations(), SessionLog(store)
    kept = SessionParts(revocations, Revoker(store, parts.bus, node="gateway-0"), log, f"{ISSUER}/")
    tokens = Tokens(snapshot, issuer=ISSUER)
    replays = MemoryReplays()
    limiter, admission, proofs = parts.limits.local, Admission(snapshot.platform), DpopProofs(replays)
    routes = oauth_endpoints(snapshot, tokens, admission, limiter, kept, proofs=proofs, replays=replays)
    entries = [
        (Match(path=path, methods=(method,)), Pipe(path, (), kind="platform", handler=handler, max_body_bytes=MAX_FORM_BYTES))
        for method, path, handler in routes
    ]
    return OAuth(parts, issued, keys, tokens, revocations, store, log, Router(entries))
