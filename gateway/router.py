"""A request's host, path, method, header fields and query → its pipe. Compiled from one snapshot, then only read.

A tree of path segments for each host. Of the routes that match the most specific wins: host (exact, the longest `*.suffix`, any),
then path (at each segment fixed before variable before the rest), then method, then the number of header and query conditions. A
last slash makes no difference, and neither does percent-encoding: a path can't slip past a route by being written otherwise.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from config.path_pattern import PathPattern, parse_path
from config.upstreams import Match
from core.errors import InvalidInput, NotFound
from gateway.conditions import Condition, conditions_of
from gateway.pipe import Pipe
from gateway.stage import Request

_PREFLIGHT = "access-control-request-method"


class Leaf:
    """One route at the end of a path."""

    __slots__ = ("conditions", "methods", "names", "pipe", "rank", "rest", "rest_at")

    def __init__(self, match: Match, pattern: PathPattern, pipe: Pipe) -> None:
        self.pipe = pipe
        self.methods = tuple(method.encode() for method in match.methods)
        self.names = pattern.names
        self.rest = pattern.rest
        self.rest_at = len(pattern.segments)
        self.conditions: tuple[Condition, ...] = ()
        self.rank: tuple[int, ...] = ()
        if match.headers or match.query:
            self.conditions, self.rank = conditions_of(match)

    def fits(self, request: Request) -> bool:
        return all(condition(request) for condition in self.conditions)


class End:
    """The routes that share a path. A path of the platform's own is final: another route behind a variable never gets its requests.
    `by_verb` and `other` have the leaves in the order in which they are asked."""

    __slots__ = ("by_verb", "is_final", "other")

    def __init__(self) -> None:
        self.by_verb: dict[bytes, tuple[Leaf, ...]] = {}
        self.other: tuple[Leaf, ...] = ()
        self.is_final = False

    def add(self, leaf: Leaf) -> None:
        self.is_final = self.is_final or leaf.pipe.kind != "route"
        for verb in leaf.methods:
            self.by_verb[verb] = _ranked(*self.by_verb.get(verb, ()), leaf)
        if not leaf.methods:
            self.other = _ranked(*self.other, leaf)

    def close(self) -> None:
        """Once all are there: HEAD asks what GET is for (RFC 9110 §9.3.2), and each method the routes for any method last."""
        if b"GET" in self.by_verb:
            self.by_verb[b"HEAD"] = (*self.by_verb.get(b"HEAD", ()), *self.by_verb[b"GET"])
        if self.other:
            for verb, leaves in self.by_verb.items():
                self.by_verb[verb] = (*leaves, *self.other)


def _ranked(*leaves: Leaf) -> tuple[Leaf, ...]:
    return tuple(sorted(leaves, key=lambda leaf: leaf.rank, reverse=True)) if len(leaves) > 1 else leaves


class Node:
    """One segment of the tree."""

    __slots__ = ("end", "fixed", "rest", "variable")

    def __init__(self) -> None:
        self.fixed: dict[bytes, Node] = {}
        self.variable: Node | None = None
        self.rest: End | None = None
        self.end: End | None = None


class Search:
    """One look-up that has left the fast way: what was met that would have taken another method."""

    __slots__ = ("offered", "request", "segments")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.segments: list[bytes] = []
        self.offered: set[bytes] | None = None

    def among(self, tree: "Tree", path: bytes) -> Leaf | None:
        """The best leaf of a tree. A path is split no further than the tree is deep: only a rest can take what is behind."""
        segments = path.removesuffix(b"/").split(b"/", tree.depth + 1)
        if b"%" in path:
            segments = [unquote_to_bytes(segment) for segment in segments]
        self.segments = segments
        return self.within(tree.root, 1)

    def within(self, node: Node, place: int) -> Leaf | None:
        """The best leaf below a node whose segments up to `place` are matched; goes back where a fixed branch leads nowhere. Each
        node is visited once at most."""
        segments = self.segments
        count = len(segments)
        while place < count:
            segment, variable, rest = segments[place], node.variable, node.rest
            place += 1
            below = node.fixed.get(segment)
            if below is not None:
                if variable is None and rest is None:
                    node = below
                    continue
                if (found := self.within(below, place)) is not None:
                    return found
            if variable is None or not segment:
                return self.at(rest)
            if rest is not None:
                return self.within(variable, place) or self.at(rest)
            node = variable
        return self.at(node.end) or self.at(node.rest)

    def at(self, end: End | None) -> Leaf | None:
        if end is None:
            return None
        leaves = end.by_verb.get(self.request.verb, end.other)
        for leaf in leaves:
            if not leaf.conditions or leaf.fits(self.request):
                return leaf
        if not leaves:
            if self.request.verb == b"OPTIONS" and (answering := self._preflight(end)):
                return answering
            self.offered = {*(self.offered or ()), *end.by_verb}
        if end.is_final:
            raise _Final
        return None

    def _preflight(self, end: End) -> Leaf | None:
        """A CORS preflight goes where the request will go that it asks for, if that route answers preflights."""
        wanted = self.request.headers.get(_PREFLIGHT, "").encode("ascii", "replace")
        leaves = end.by_verb.get(wanted, ())
        return next((leaf for leaf in leaves if any(stage.name == "cors" for stage in leaf.pipe.stages)), None)


class _Final(Exception):  # a jump out of the search, not an error
    """The path belongs to the platform, which does not offer this method."""


class Tree:
    """The paths of one host."""

    __slots__ = ("depth", "exact", "root")

    def __init__(self) -> None:
        self.root = Node()
        self.exact: dict[bytes, End] = {}
        self.depth = 0

    def add(self, pattern: PathPattern, leaf: Leaf) -> None:
        node = self.root
        for segment in pattern.segments:
            if segment is not None:
                below = node.fixed.get(segment)
                if below is None:
                    below = node.fixed[segment] = Node()
            else:
                below = node.variable = node.variable or Node()
            node = below
        if pattern.rest:
            end = node.rest = node.rest or End()
        else:
            end = node.end = node.end or End()
            if not pattern.names:
                self.exact[b"/" + b"/".join(pattern.segments)] = end  # type: ignore[arg-type]  # None only where there are names
        end.add(leaf)
        self.depth = max(self.depth, len(pattern.segments))

    def close(self) -> None:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting.extend(node.fixed.values())
            if node.variable is not None:
                waiting.append(node.variable)
            if node.end is not None:
                node.end.close()
            if node.rest is not None:
                node.rest.close()


class Router:
    """`find` is called for each request; a look-up takes one or two microseconds, however many routes there are."""

    def __init__(self, entries: Iterable[tuple[Match, Pipe]]) -> None:
        self._any = Tree()
        self._hosts: dict[bytes, Tree] = {}
        for match, pipe in entries:
            pattern = parse_path(match.path)
            leaf = Leaf(match, pattern, pipe)
            for host in match.hosts:
                self._hosts.setdefault(host.lower().encode(), Tree()).add(pattern, leaf)
            if not match.hosts:
                self._any.add(pattern, leaf)
        for tree in (self._any, *self._hosts.values()):
            tree.close()

    def find(self, request: Request) -> Pipe:
        """The pipe of this request; what the path matched is left in `request.parameters`. Raises NotFound (no_route) and
        InvalidInput (method_not_allowed, `Allow` is told; or a path that is no UTF-8)."""
        path = request.target
        if b"?" in path:
            path = path.partition(b"?")[0]
        if not self._hosts:  # 1: one tree, and the path has no variable: nothing to search
            end = self._any.exact.get(path)
            if end is not None:
                leaves = end.by_verb.get(request.verb, end.other)
                if leaves and not leaves[0].conditions:
                    return leaves[0].pipe
            return self._search((self._any,), path, request)
        return self._search(self._trees(request.host), path, request)

    def _search(self, trees: Iterable[Tree], path: bytes, request: Request) -> Pipe:
        search = Search(request)
        try:
            for tree in trees if path[:1] == b"/" else ():
                leaf = search.among(tree, path)
                if leaf is not None:
                    if leaf.names or leaf.rest:
                        request.parameters = _parameters(leaf, search.segments, path)
                    return leaf.pipe
        except _Final:
            pass
        if search.offered:
            raise _refused(request, search.offered)
        raise NotFound("there is no such path here", code="no_route")

    def _trees(self, host: bytes) -> Iterable[Tree]:
        """Those that may have the request's host, the most specific first."""
        name = _host_name(host)
        if (tree := self._hosts.get(name)) is not None:
            yield tree
        dot = name.find(b".")
        while dot >= 0:
            if (tree := self._hosts.get(b"*" + name[dot:])) is not None:
                yield tree
            dot = name.find(b".", dot + 1)
        yield self._any


def _host_name(host: bytes) -> bytes:
    """Lower case, without port and last dot."""
    name = host.lower()
    colon = name.rfind(b":")
    if colon >= 0 and name[-1:] != b"]":
        name = name[:colon]
    return name.removesuffix(b".")


def _parameters(leaf: Leaf, segments: list[bytes], path: bytes) -> dict[str, str]:
    try:
        found = {name: segments[place + 1].decode() for place, name in leaf.names}
        if leaf.rest:
            rest = b"/".join(segments[leaf.rest_at + 1 :])
            found[leaf.rest] = (rest + b"/" if rest and path[-1:] == b"/" else rest).decode()
    except UnicodeDecodeError:
        raise InvalidInput("the path is no UTF-8") from None
    return found


def _refused(request: Request, methods: set[bytes]) -> InvalidInput:
    offered = ", ".join(sorted(method.decode() for method in methods))
    request.tell("Allow", offered)  # RFC 9110 §15.5.6
    return InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")
