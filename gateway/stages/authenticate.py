"""Authenticate: the bearer token of a request (RFC 6750) → an Identity. Verified locally; a memo speeds up repeats."""

from collections import OrderedDict
from collections.abc import Callable

from core.errors import Unauthenticated
from gateway.identity import Identity
from gateway.stage import Outcome, Request, Stage

Verifier = Callable[[str], tuple[Identity, float]]
"""Token → identity and the epoch second it expires; raises Unauthenticated."""

_MEMO_ENTRIES = 4096


class Authenticate:
    """`verify` belongs to one snapshot; so does the memo, and both go with it when a key is revoked."""

    name = "authenticate"

    def __init__(self, verify: Verifier, now: Callable[[], float]) -> None:
        self._verify = verify
        self._now = now
        self._memo: OrderedDict[str, tuple[Identity, float]] = OrderedDict()

    def on_request(self, request: Request) -> Outcome:
        request.identity = self._identity(_bearer(request))
        return None

    def _identity(self, token: str) -> Identity:
        known = self._memo.get(token)
        if known is None:
            known = self._memo[token] = self._verify(token)
            if len(self._memo) > _MEMO_ENTRIES:
                self._memo.popitem(last=False)
        identity, expires = known
        if expires <= self._now():
            self._memo.pop(token, None)
            raise Unauthenticated("the token has expired; get a new one from /oauth2/token", code="token_expired")
        return identity


def _bearer(request: Request) -> str:
    scheme, _, token = request.authorization.decode("ascii", "replace").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("this request needs a token: send `Authorization: Bearer <token>`", code="token_missing")
    return token.strip()


def _conforms(stage: Authenticate) -> Stage:
    return stage
