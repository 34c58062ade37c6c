"""A request's host, path, method, header fields and query → its pipe. Compiled from one snapshot, then only read."""

from collections.abc import Iterable
from urllib.parse import unquote

from config.upstreams import Match
from core.errors import InvalidInput, NotFound
from gateway.pipe import Pipe
from gateway.stage import Request


class Router:
    """Finds a route by its fixed segments; the exact path wins. Raises NotFound or InvalidInput(method_not_allowed)."""

    def __init__(self, entries: Iterable[tuple[Match, Pipe]]) -> None:
        # Two tables: in one, a request for a record named `{}` would be taken for the pattern.
        self._exact: dict[tuple[str, ...], dict[str, Pipe]] = {}
        self._free: dict[tuple[str, ...], dict[str, tuple[str, Pipe]]] = {}
        for match, pipe in entries:
            *fixed, last = match.path.strip("/").split("/")
            for method in match.methods:
                if last.startswith("{"):
                    self._free.setdefault(tuple(fixed), {})[method] = last.strip("{}"), pipe
                else:
                    self._exact.setdefault((*fixed, last), {})[method] = pipe

    def find(self, request: Request) -> Pipe:
        """The pipe of this request; what the path matched is left in `request.parameters`. InvalidInput tells `Allow` to the
        caller."""
        segments = request.path.strip("/").split("/")
        method = request.method
        exact = self._exact.get(tuple(segments))
        if exact is not None:
            pipe = exact.get(method) or (exact.get("GET") if method == "HEAD" else None)
            if pipe is not None:
                return pipe
            raise self._refused(request, exact)
        free = self._free.get(tuple(segments[:-1]))
        if free is None or not segments[-1]:
            raise NotFound("there is no such path here", code="no_route")
        found = free.get(method) or (free.get("GET") if method == "HEAD" else None)
        if found is None:
            raise self._refused(request, free)
        name, pipe = found
        request.parameters = {name: _decoded(segments[-1])}
        return pipe

    def _refused(self, request: Request, methods: Iterable[str]) -> InvalidInput:
        offered = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
        request.tell("Allow", offered)  # RFC 9110 §15.5.6
        return InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("the path is no UTF-8") from None
