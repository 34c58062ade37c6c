"""`POST /oauth2/token`: OAuth 2.0 client credentials (RFC 6749 §4.4), by HTTP Basic or in the form (§2.3.1)."""

import base64
import hmac
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from core.cache import Limiter, Rate
from core.clock import epoch_ms
from core.errors import Forbidden, Limited, PlatformError, Unauthenticated
from gateway.stage import Request, Response
from gateway.stages.authorise import Admission
from gateway.tokens import LIFETIME_S, Tokens
from registry.snapshot import Snapshot

_PER_ADDRESS = Rate(per_s=5.0, burst=50)  # a guess at an AppSecret costs time
_NOBODY = "x" * 43  # compared with when the key is unknown, so that both take as long


class _Refused(PlatformError):
    """An OAuth error of RFC 6749 §5.2, answered in its own form."""

    def __init__(self, error: str, detail: str, status: int = 400) -> None:
        super().__init__(detail, code=error)
        self.status = status


class TokenEndpoint:
    """Answers in the form RFC 6749 gives: `{"access_token", "token_type", "expires_in", "scope"}` or `{"error", …}`."""

    def __init__(self, snapshot: Snapshot, tokens: Tokens, admission: Admission, limiter: Limiter) -> None:
        self._credentials = snapshot.credentials
        self._tokens = tokens
        self._admission = admission
        self._limiter = limiter

    async def __call__(self, request: Request) -> Response:
        verdict = await self._limiter.take(f"token:{request.remote}", _PER_ADDRESS)
        if not verdict.allowed:
            raise Limited("too many token requests from this address", retry_after_s=verdict.retry_after_s, code="rate_limited")
        try:
            answer = self._grant(request, await _form(request))
        except _Refused as refusal:
            body = {"error": refusal.specific_code, "error_description": refusal.detail}
            headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
            if refusal.status == 401:
                headers.append(("WWW-Authenticate", 'Basic realm="zhiyun"'))
            return Response(refusal.status, headers, msgspec.json.encode(body))
        return Response(200, [("Content-Type", "application/json"), ("Cache-Control", "no-store")], msgspec.json.encode(answer))

    def _grant(self, request: Request, form: dict[str, str]) -> dict[str, object]:
        if not form.get("grant_type"):
            raise _Refused("invalid_request", "grant_type is missing; send grant_type=client_credentials")
        if form["grant_type"] != "client_credentials":
            raise _Refused("unsupported_grant_type", "grant_type must be client_credentials")
        key, secret = _client(request, form)
        name = self._authenticated(key, secret)
        try:
            app = self._admission.admit(name, request.remote)
        except Unauthenticated as error:
            raise _Refused("invalid_client", error.detail, 401) from None
        except Forbidden as error:
            raise _Refused("unauthorized_client", error.detail) from None
        wanted = form.get("scope", "").split() or list(app.scopes)
        if not set(wanted) <= set(app.scopes):
            raise _Refused("invalid_scope", f"this app has the scopes {' '.join(app.scopes) or '(none)'}")
        token = self._tokens.make(name, key, wanted)
        return {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_S, "scope": " ".join(sorted(wanted))}

    def _authenticated(self, key: str, secret: str) -> str:
        """The app's name. Every live secret is compared, in constant time, and an unknown key costs the same."""
        credential = self._credentials.get(key)
        is_app = credential is not None and credential.owner_kind == "app"
        secrets = [live.reveal() for live in credential.live(epoch_ms())] if credential else []
        matches = [hmac.compare_digest(live.encode(), secret.encode()) for live in secrets or [_NOBODY]]
        if credential is None or not is_app or not any(matches):
            raise _Refused("invalid_client", "AppKey or AppSecret is wrong", 401)
        return credential.owner


async def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise _Refused("invalid_request", "send the parameters as application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise _Refused("invalid_request", "the form is malformed") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused("invalid_request", "a parameter is given twice")  # RFC 6749 §3.2
    return form


def _client(request: Request, form: dict[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        if "client_secret" in form:
            raise _Refused("invalid_request", "AppKey and AppSecret are given twice")  # RFC 6749 §2.3
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:  # no base64, no ASCII, no UTF-8
            raise _Refused("invalid_client", "the Authorization header is malformed", 401) from None
        return unquote_plus(key), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")
