"""What the endpoints share that a client posts a form to: the form, the limit per address, the form of a refusal (RFC 6749 §5.2).

A client is an app or a proxy; `login` finds out which.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from cache.gcra import rate_bound
from core.cache import Limiter, Rate
from core.errors import PlatformError
from gateway.limits import paced
from gateway.stage import Request, Response
from registry.credentials import OwnerKind

MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 20
_PER_ADDRESS = rate_bound(Rate(per_s=5.0, burst=50))  # a guess at an AppSecret costs time
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


Login = Callable[[Request, Form], Awaitable[Client]]
"""Who posts; raises Refused. See `login.Logins.client`."""

Answer = Callable[[Request, Client, Form], Awaitable[object]]
"""What an endpoint does for a client that has proved who it is. Gives what is encoded as JSON; raises Refused."""


class ClientEndpoint:
    """Posts of forms by clients, limited per address over all such endpoints together."""

    def __init__(self, login: Login, limiter: Limiter, answer: Answer) -> None:
        self._login = login
        self._limiter = limiter
        self._answer = answer

    async def __call__(self, request: Request) -> Response:
        await paced(self._limiter, f"oauth:{request.remote}", _PER_ADDRESS, "too many token requests from this address")
        try:
            form = await read_form(request)
            client = await self._login(request, form)
            body = await self._answer(request, client, form)
        except Refused as refusal:
            return _refusal(refusal)
        return Response(200, list(_NO_STORE), msgspec.json.encode(body))


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


def _refusal(refusal: Refused) -> Response:
    headers = list(_NO_STORE)
    if refusal.status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="zhiyun"'))
    body = {"error": refusal.specific_code, "error_description": refusal.detail}
    return Response(refusal.status, headers, msgspec.json.encode(body))
