"""CORS: which web pages of other origins may call (WHATWG Fetch §3.2). First in a pipe: a preflight carries no credential.

A refusal is the absence of header fields, which the browser judges; it is never an error here.
"""

from config import policies
from gateway.http1.message import header_line
from gateway.stage import AnswerStage, Outcome, Request, Response

_VARY = header_line("Vary", "Origin")
_PREFLIGHT_VARY = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


class Cors:
    """Told fields travel with every answer, so a page can read problems too."""

    name = "cors"

    def __init__(self, policy: policies.Cors) -> None:
        allow = ("Access-Control-Allow-Methods", ", ".join(policy.methods))
        self._preflight = [allow, ("Access-Control-Max-Age", str(policy.max_age_s)), _PREFLIGHT_VARY]
        if policy.headers:
            self._preflight.append(("Access-Control-Allow-Headers", ", ".join(policy.headers)))
        self._actual: list[tuple[str, str]] = []
        if policy.expose:
            self._actual.append(("Access-Control-Expose-Headers", ", ".join(policy.expose)))
        self._credentials = [("Access-Control-Allow-Credentials", "true")] if policy.credentials else []
        self._is_open = "*" in policy.origins
        self._origins = frozenset(policy.origins) - {"*"}

    def on_request(self, request: Request) -> Outcome:
        if request.verb == b"OPTIONS" and "access-control-request-method" in request.headers:
            allowed = self._allowed(request.headers.get("origin", ""))
            return Response(204, [*allowed, *self._preflight] if allowed else [_PREFLIGHT_VARY])
        request.tell_line(_VARY)  # also without Origin: a cache must not keep that answer for a page (Fetch §3.2.5)
        if _has_origin(request):
            allowed = self._allowed(request.headers["origin"])
            if allowed:
                for name, value in (*allowed, *self._actual):
                    request.tell(name, value)
        return None

    def _allowed(self, origin: str) -> list[tuple[str, str]]:
        """The fields that let this origin in; none where it may not."""
        if origin in self._origins:
            return [("Access-Control-Allow-Origin", origin), *self._credentials]
        if self._is_open and origin not in ("", "null"):
            return [("Access-Control-Allow-Origin", "*")]
        return []

    def collects(self, request: Request, response: Response) -> int:
        return 0

    def on_response(self, request: Request, response: Response) -> Outcome:
        """What an upstream says about origins is dropped: two opinions make a browser refuse both."""
        if _has_origin(request):
            response.headers = [pair for pair in response.headers if pair[0][:15].lower() != "access-control-"]
        return None


def _has_origin(request: Request) -> bool:
    """As browsers write it. A caller that is none costs no mapping of all fields, and one that spells it otherwise gets no
    permission."""
    head = request.head  # `find`: CPython's `in` on bytes makes and clears an exception first, for five times the cost
    return head.find(b"\nOrigin:") >= 0 or head.find(b"\norigin:") >= 0


def _conforms(stage: Cors) -> AnswerStage:
    return stage
