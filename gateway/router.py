"""Path and method → handler. Compiled from one snapshot, then only read."""

from collections.abc import Iterable
from urllib.parse import unquote

from msgspec import Struct

from core.errors import InvalidInput, NotFound
from core.http import Handler, Request, Response
from gateway.problems import TOLD


class Route(Struct, frozen=True):
    """`pattern` is a path whose `{}` segments match anything; what they matched is in `request.attributes["path"]`."""

    method: str
    pattern: str
    handler: Handler


class Router:
    """Finds a route by its fixed segments; the exact path wins. Raises NotFound or InvalidInput(method_not_allowed)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # Two tables: in one, a request for a record named `{}` would be taken for the pattern.
        self._exact: dict[tuple[str, ...], dict[str, Handler]] = {}
        self._free: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route in routes:
            *fixed, last = route.pattern.strip("/").split("/")
            table, segments = (self._free, tuple(fixed)) if last == "{}" else (self._exact, (*fixed, last))
            table.setdefault(segments, {})[route.method] = route.handler

    async def __call__(self, request: Request) -> Response:
        segments = request.path.strip("/").split("/")
        methods, matched = self._find(segments)
        handler = methods.get(request.method) or (methods.get("GET") if request.method == "HEAD" else None)
        if handler is None:
            offered = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
            request.attributes[TOLD] = [("Allow", offered)]  # RFC 9110 §15.5.6
            raise InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")
        request.attributes["path"] = matched
        return await handler(request)

    def _find(self, segments: list[str]) -> tuple[dict[str, Handler], list[str]]:
        """Only the last segment may be free: the exact path first, then its prefix with a free end."""
        exact = self._exact.get(tuple(segments))
        if exact is not None:
            return exact, []
        free = self._free.get(tuple(segments[:-1]))
        if free is not None and segments[-1]:
            return free, [_decoded(segments[-1])]
        raise NotFound("there is no such path here", code="no_route")


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("the path is no UTF-8") from None
