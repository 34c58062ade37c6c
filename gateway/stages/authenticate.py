"""Authenticate: who a request comes from, by the means that its route allows (gateway.means), each in a file of gateway/access/."""

from collections.abc import Awaitable, Sequence

from core.errors import InvalidInput, Unauthenticated
from gateway.http1.message import Request, has_told
from gateway.identity import Identity
from gateway.means import Means
from gateway.stage import BodyStage, Outcome

MAX_SIGNED_BODY_BYTES = 1 << 20
_AMBIGUOUS = "the request carries two kinds of credentials; send one of them"


class Authenticate:
    """Takes the one means that the request uses, and refuses a request that uses two: which of them counts must never depend on
    an order that the caller can't see. A client certificate belongs to the connection, not to the request, so it counts only where
    nothing else is sent.
    """

    name = "authenticate"

    def __init__(self, means: Sequence[Means], *, max_body_bytes: int = MAX_SIGNED_BODY_BYTES) -> None:
        """`means` in the route's order. `max_body_bytes` bounds a body that takes part in a proof."""
        self._sent = tuple(each for each in means if each.kind != "certificate")
        self._held = tuple(each for each in means if each.kind == "certificate")
        self._looks = tuple((each.is_used, each) for each in self._sent)
        self._bearer = next((each for each in self._sent if each.kind == "bearer"), None)
        self._challenges = tuple(dict.fromkeys(each.challenge for each in means if each.challenge))
        self._max_body_bytes = max_body_bytes

    def wants_body(self, request: Request) -> int:
        if not request.body_length:
            return 0
        return self._max_body_bytes if any(each.is_used(request) and each.needs_body(request) for each in self._sent) else 0

    def on_request(self, request: Request) -> Outcome:
        used = self._bearer
        if used is None or request.api_key or request.is_signed or request.authorization[:7] != b"Bearer ":
            used = self._used(request)  # the usual case by far is a bearer token alone
        if used is None:
            used = self._connection(request)
        try:
            identity = used.identify(request)
        except Unauthenticated:
            self._challenge(request, used)
            raise
        if identity.__class__ is Identity:  # at a third of what isinstance costs
            request.identity = identity
            return None
        return self._later(request, used, identity)  # type: ignore[arg-type]

    def holds_until(self, request: Request) -> float:
        """Until when (epoch seconds) the credential of a request that was let in need not be asked about again. Raises
        Unauthenticated where it would not be let in any more, or not by this means."""
        for means in (*self._sent, *self._held):
            if means.kind == request.identity.means:
                return means.holds_until(request)
        raise Unauthenticated(_missing([*self._sent, *self._held]), code="token_missing")

    def _used(self, request: Request) -> Means | None:
        used: Means | None = None
        for is_used, means in self._looks:
            if is_used(request):
                if used is not None:
                    raise InvalidInput(_AMBIGUOUS, code="credentials_ambiguous")
                used = means
        return used

    def _connection(self, request: Request) -> Means:
        for means in self._held:
            if means.is_used(request):
                return means
        self._challenge(request, None)
        raise Unauthenticated(_missing([*self._sent, *self._held]), code="token_missing")

    async def _later(self, request: Request, used: Means, identity: Awaitable[Identity]) -> None:
        try:
            request.identity = await identity
        except Unauthenticated:
            self._challenge(request, used)
            raise

    def _challenge(self, request: Request, used: Means | None) -> None:
        """What could be sent (RFC 9110 §11.6.1), unless the means has said it better."""
        if has_told(request, "WWW-Authenticate"):
            return
        for challenge in self._challenges:
            is_wrong = used is not None and used.kind == "bearer" and challenge == used.challenge
            request.tell("WWW-Authenticate", f'{challenge}, error="invalid_token"' if is_wrong else challenge)  # RFC 6750 §3.1


_WAYS = {
    "bearer": "a token (`Authorization: Bearer <token>`)",
    "key": "an API key (`X-Api-Key: <AppKey>.<AppSecret>`)",
    "signature": "a signature (`Signature-Input`, `Signature`)",
    "ca": "a signature (`X-Ca-Key`, `X-Ca-Signature`)",
    "certificate": "a client certificate",
}


def _missing(means: Sequence[Means]) -> str:
    return f"this request needs {' or '.join(_WAYS[each.kind] for each in means)}"


def _conforms(stage: Authenticate) -> BodyStage:
    return stage
