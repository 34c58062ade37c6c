"""Path and method → handler. Compiled from one snapshot, then only read."""

from collections.abc import Iterable
from urllib.parse import unquote

from msgspec import Struct

from core.errors import InvalidInput, NotFound
from core.http import Handler, Request, Response


class Route(Struct, frozen=True):
    """`pattern` is a path whose `{}` segments match anything; what they matched is in `request.attributes["path"]`."""

    method: str
    pattern: str
    handler: Handler


class Router:
    """Finds a route by its fixed segments; the longest fixed match wins. Raises NotFound or InvalidInput(method_not_allowed)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._table: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route in routes:
            segments = tuple(route.pattern.strip("/").split("/"))
            self._table.setdefault(segments, {})[route.method] = route.handler

    async def __call__(self, request: Request) -> Response:
        segments = request.path.strip("/").split("/")
        methods, matched = self._find(segments)
        handler = methods.get(request.method) or (methods.get("GET") if request.method == "HEAD" else None)
        if handler is None:
            offered = ", ".join(sorted(methods))
            raise InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")
        request.attributes["path"] = matched
        return await handler(request)

    def _find(self, segments: list[str]) -> tuple[dict[str, Handler], list[str]]:
        """Only the last segment may be free: the exact path first, then its prefix with a free end."""
        exact = self._table.get(tuple(segments))
        if exact is not None:
            return exact, []
        free = self._table.get((*segments[:-1], "{}"))
        if free is not None and segments[-1]:
            return free, [_decoded(segments[-1])]
        raise NotFound("there is no such path here", code="no_route")


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("the path is no UTF-8") from None
