"""Bearer tokens by OAuth 2.0 client credentials (RFC 6749 §4.4): asked for when needed, kept while they hold."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta, Struct

from adapters.http_client import Answer, basic
from core.errors import Unauthenticated, Unavailable
from core.secret import Secret

EARLY_S = 30.0
"""A token is used no longer than until so long before its end: it has to last for the call."""
_SHORTEST_S = 1.0
_DEFAULT_S = 300.0  # where the server does not say

Send = Callable[[str, str, bytes, dict[str, str]], Awaitable[Answer]]


class OAuth2Auth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="oauth2"):
    """Client credentials. The client's id and secret go by basic authentication (RFC 6749 §2.3.1), or in the form where
    `in_form`."""

    token_url: Annotated[str, Meta(pattern=r"^https?://\S+$", description="an http:// or https:// URL")]
    client_id: str
    client_secret: Secret
    scope: str = ""
    in_form: bool = False


class Tokens:
    """The token of one connection."""

    def __init__(self, auth: OAuth2Auth, send: Send) -> None:
        self._auth = auth
        self._send = send
        self._token: Secret | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def current(self) -> Secret:
        """A token that holds for a while yet. Raises Unauthenticated where the server refuses the client, Unavailable for what is
        no answer of its kind, and what the wire raises."""
        async with self._asking:
            if self._token is None or time.monotonic() >= self._until:
                self._token = await self._asked()
            return self._token

    def forget(self, token: Secret) -> None:
        """The service does not take it any more, whatever was said of its end."""
        if token is self._token:
            self._token = None

    async def _asked(self) -> Secret:
        auth, form = self._auth, {"grant_type": "client_credentials"}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if auth.scope:
            form["scope"] = auth.scope
        if auth.in_form:
            form |= {"client_id": auth.client_id, "client_secret": auth.client_secret.reveal()}
        else:
            user, password = quote(auth.client_id, safe=""), Secret(quote(auth.client_secret.reveal(), safe=""))
            headers |= {name: value.reveal() for name, value in basic(user, password).items()}
        started = time.monotonic()
        answer = await self._send("POST", auth.token_url, urlencode(form).encode(), headers)
        if answer.status in (400, 401, 403):
            raise Unauthenticated(f"the token server refuses client {auth.client_id}: HTTP {answer.status}{_error(answer)}")
        if answer.status != 200:
            raise Unavailable(f"the token server answers HTTP {answer.status}")
        try:
            found = msgspec.json.decode(answer.body, type=dict[str, Any])
            token, kind = str(found["access_token"]), str(found.get("token_type", "bearer"))
            lasts_s = float(found.get("expires_in", _DEFAULT_S))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable("the token server answers what is no token (RFC 6749 §5.1)") from error
        if kind.lower() != "bearer" or not token.isascii() or not token.isprintable() or " " in token:
            raise Unavailable(f"the token server gives a token of type {kind[:20]!r}, not a bearer token")
        self._until = started + max(_SHORTEST_S, lasts_s - EARLY_S)
        return Secret(token)


def _error(answer: Answer) -> str:
    """The code of RFC 6749 §5.2, where there is one."""
    try:
        code = msgspec.json.decode(answer.body, type=dict[str, Any]).get("error")
    except msgspec.DecodeError:
        return ""
    return f" ({code})" if isinstance(code, str) and code.isascii() and code.isprintable() and len(code) < 60 else ""
