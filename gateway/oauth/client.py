"""What the endpoints share that a client posts a form to: the form, who the client is (RFC 6749 §2.3), how it is refused (§5.2).

A client is an app or a proxy, with its key and secret in HTTP Basic or in the form.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import Struct

from core.cache import Limiter, Rate
from core.clock import epoch_ms
from core.errors import Limited, PlatformError
from gateway.stage import Request, Response
from registry.credentials import OwnerKind
from registry.snapshot import Credential

MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 20
_PER_ADDRESS = Rate(per_s=5.0, burst=50)  # a guess at an AppSecret costs time
_NOBODY = "x" * 43  # compared with when the key is unknown, so that both take as long
_NO_STORE = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]

Form = Mapping[str, str]


class Refused(PlatformError):
    """An OAuth error of RFC 6749 §5.2, answered in its own form."""

    def __init__(self, error: str, detail: str, status: int = 400) -> None:
        super().__init__(detail, code=error)
        self.status = status


class Client(Struct, frozen=True):
    """Who posts: the app or proxy `name`, by its key."""

    key: str
    kind: OwnerKind
    name: str


Answer = Callable[[Request, Client, Form], Awaitable[object]]
"""What an endpoint does for a client that has proved who it is. Gives what is encoded as JSON; raises Refused."""


class ClientEndpoint:
    """Posts of forms by clients, limited per address over all such endpoints together."""

    def __init__(self, credentials: Mapping[str, Credential], limiter: Limiter, answer: Answer) -> None:
        self._credentials = credentials
        self._limiter = limiter
        self._answer = answer

    async def __call__(self, request: Request) -> Response:
        verdict = await self._limiter.take(f"oauth:{request.remote}", _PER_ADDRESS)
        if not verdict.allowed:
            raise Limited("too many token requests from this address", retry_after_s=verdict.retry_after_s, code="rate_limited")
        try:
            form = await read_form(request)
            client = self._authenticated(*_key_and_secret(request, form))
            body = await self._answer(request, client, form)
        except Refused as refusal:
            return _refusal(refusal)
        return Response(200, list(_NO_STORE), msgspec.json.encode(body))

    def _authenticated(self, key: str, secret: str) -> Client:
        """Every live secret is compared, in constant time, and an unknown key costs the same."""
        credential = self._credentials.get(key)
        secrets = [live.reveal() for live in credential.live(epoch_ms())] if credential else []
        matches = [hmac.compare_digest(live.encode(), secret.encode()) for live in secrets or [_NOBODY]]
        if credential is None or not secrets or not any(matches):
            raise Refused("invalid_client", "AppKey or AppSecret is wrong", 401)
        return Client(key, credential.owner_kind, credential.owner)


async def read_form(request: Request) -> Form:
    """The parameters. Refused where the body is no form, is too long, or gives a parameter twice."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused("invalid_request", "send the parameters as application/x-www-form-urlencoded")
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise Refused("invalid_request", f"the form is longer than {MAX_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Refused("invalid_request", "the form is malformed") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a parameter is given twice")  # RFC 6749 §3.2
    return form


def _key_and_secret(request: Request, form: Form) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        if "client_secret" in form:
            raise Refused("invalid_request", "AppKey and AppSecret are given twice")  # RFC 6749 §2.3
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:  # no base64, no ASCII, no UTF-8
            raise Refused("invalid_client", "the Authorization header is malformed", 401) from None
        return unquote_plus(key), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


def _refusal(refusal: Refused) -> Response:
    headers = list(_NO_STORE)
    if refusal.status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="zhiyun"'))
    body = {"error": refusal.specific_code, "error_description": refusal.detail}
    return Response(refusal.status, headers, msgspec.json.encode(body))
