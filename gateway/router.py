"""A request's host, path, method, header fields and query → its pipe. Compiled from one snapshot, then only read.

A tree of path segments for each host. Of the routes that match the most specific wins: host (exact, the longest `*.suffix`, any),
then path (at each segment fixed before variable before the rest), then method, then the number of header and query conditions. A
last slash makes no difference, and neither does percent-encoding: a path can't slip past a route by being written otherwise.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from config.path_pattern import PathPattern, parse_path
from config.upstreams import Match
from core.errors import ConfigError, InvalidInput, NotFound
from gateway.conditions import Condition, conditions_of
from gateway.http1.message import Request
from gateway.pipe import Pipe

_PERCENT = b"%"[0]  # a number: `in` takes ten times as long for one byte as bytes (CPython 3.11)
_PREFLIGHT = "access-control-request-method"


class Leaf:
    """One route at the end of a path."""

    __slots__ = ("conditions", "is_variable", "match", "pattern", "pipe", "rank")

    def __init__(self, match: Match, pipe: Pipe) -> None:
        self.match = match
        self.pipe = pipe
        self.conditions: tuple[Condition, ...] = ()
        self.rank: tuple[int, ...] = ()
        try:
            self.pattern = parse_path(match.path)
            self.is_variable = bool(self.pattern.names or self.pattern.rest)
            if match.headers or match.query:
                self.conditions, self.rank = conditions_of(match)
        except (ValueError, re.error) as error:  # the check refuses them; a registry may hold what an older version took
            raise ConfigError(f"route {pipe.name}: {error}") from error

    def fits(self, request: Request) -> bool:
        return all(condition(request) for condition in self.conditions)

    def order(self) -> tuple[Any, ...]:
        """The most specific first; where two are equally so, by name, the same on every node."""
        return *(-part for part in self.rank or (0, 0, 0)), self.pipe.name


class End:
    """The routes that share a path. A path of the platform's own is final: another route behind a variable never gets its requests.
    `by_verb` and `other` have the leaves in the order in which they are asked."""

    __slots__ = ("by_verb", "is_final", "leaves", "other")

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.by_verb: dict[bytes, tuple[Leaf, ...]] = {}
        self.other: tuple[Leaf, ...] = ()
        self.is_final = False

    def arrange(self) -> None:
        """After a change of `leaves`. HEAD asks what GET is for (RFC 9110 §9.3.2); routes for any method come last."""
        if len(self.leaves) > 1:
            self.leaves.sort(key=Leaf.order)
        self.is_final = any([leaf.pipe.kind != "route" for leaf in self.leaves])
        self.other = tuple([leaf for leaf in self.leaves if not leaf.match.methods])
        by_verb: dict[bytes, tuple[Leaf, ...]] = {}
        for leaf in self.leaves:
            for method in leaf.match.methods:
                verb = method.encode()
                by_verb[verb] = (*by_verb.get(verb, ()), leaf)
        if b"GET" in by_verb:
            by_verb[b"HEAD"] = (*by_verb.get(b"HEAD", ()), *by_verb[b"GET"])
        self.by_verb = {verb: (*leaves, *self.other) for verb, leaves in by_verb.items()} if self.other else by_verb


class Node:
    """One segment of the tree."""

    __slots__ = ("end", "fixed", "rest", "variable")

    def __init__(self) -> None:
        self.fixed: dict[bytes, Node] = {}
        self.variable: Node | None = None
        self.rest: End | None = None
        self.end: End | None = None

    def below(self, segment: bytes | None) -> "Node | None":
        return self.variable if segment is None else self.fixed.get(segment)

    def cut(self, segment: bytes | None) -> None:
        if segment is None:
            self.variable = None
        else:
            del self.fixed[segment]

    def is_empty(self) -> bool:
        return not self.fixed and self.variable is None and self.rest is None and self.end is None


class Search:
    """One look-up that has left the fast way: what was met that would have taken another method."""

    __slots__ = ("offered", "request", "segments")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.segments: list[bytes] = []
        self.offered: set[bytes] | None = None

    def among(self, tree: "Tree", path: bytes) -> Leaf | None:
        """The best leaf of a tree. A path is split no further than the tree is deep: only a rest can take what is behind."""
        segments = (path[:-1] if path[-1:] == b"/" else path).split(b"/", tree.depth + 1)
        if segments[0]:  # `*`, or nothing that begins with a slash
            return None
        if _PERCENT in path:
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
    """The paths of one host. `exact` is a short cut to the paths without variables: no other route could win there."""

    __slots__ = ("depth", "exact", "root")

    def __init__(self) -> None:
        self.root = Node()
        self.exact: dict[bytes, End] = {}
        self.depth = 0

    def add(self, leaf: Leaf) -> End:
        """The end it was put to, which is to be arranged once all are there."""
        pattern, node = leaf.pattern, self.root
        for segment in pattern.segments:
            below = node.below(segment)
            if below is None:
                below = Node()
                if segment is None:
                    node.variable = below
                else:
                    node.fixed[segment] = below
            node = below
        if pattern.rest:
            end = node.rest = node.rest or End()
        else:
            end = node.end = node.end or End()
            if (path := pattern.exact()) is not None and b"%" not in path:  # which in a request is never meant as it stands
                self.exact[path] = end
        end.leaves.append(leaf)
        if len(pattern.segments) > self.depth:
            self.depth = len(pattern.segments)
        return end

    def remove(self, leaf: Leaf) -> None:
        pattern, nodes = leaf.pattern, [self.root]
        for segment in pattern.segments:
            below = nodes[-1].below(segment)
            assert below is not None
            nodes.append(below)
        end = nodes[-1].rest if pattern.rest else nodes[-1].end
        assert end is not None
        end.leaves.remove(leaf)
        if end.leaves:
            end.arrange()
            return
        if pattern.rest:
            nodes[-1].rest = None
        else:
            nodes[-1].end = None
            self.exact.pop(pattern.exact() or b"", None)
        while len(nodes) > 1 and nodes[-1].is_empty():  # nothing that is gone leaves a trace
            nodes.pop()
            nodes[-1].cut(pattern.segments[len(nodes) - 1])


class Router:
    """`find` is called for each request; a look-up takes some microseconds, however many routes there are."""

    def __init__(self, entries: Iterable[tuple[Match, Pipe]]) -> None:
        self._any = Tree()
        self._any_alone = (self._any,)
        self._hosts: dict[bytes, Tree] = {}
        self._leaves: dict[int, Leaf] = {}  # by the identity of their match, which they keep alive
        self.update(entries)

    def update(self, entries: Iterable[tuple[Match, Pipe]]) -> None:
        """Take these in place of those before, between two requests. A Match that is the same object as before stays where it is,
        with its new pipe: what did not change costs next to nothing. Raises ConfigError for a path or a regular expression that
        can't be, and then changes nothing."""
        old, leaves, fresh = self._leaves, {}, []
        pipes: list[tuple[Leaf, Pipe]] = []
        for match, pipe in entries:
            key = id(match)
            leaf = old.get(key)
            if leaf is None:
                leaf = Leaf(match, pipe)
                fresh.append(leaf)
            elif leaf.pipe is not pipe:
                pipes.append((leaf, pipe))
            leaves[key] = leaf
        for leaf, pipe in pipes:
            leaf.pipe = pipe
        for gone in [leaf for key, leaf in old.items() if key not in leaves]:
            for tree in self._trees_of(gone):
                tree.remove(gone)
        for end in dict.fromkeys([tree.add(leaf) for leaf in fresh for tree in self._trees_of(leaf)]):
            end.arrange()
        self._leaves = leaves
        self._hosts = {host: tree for host, tree in self._hosts.items() if not tree.root.is_empty()}

    def _trees_of(self, leaf: Leaf) -> list[Tree]:
        hosts = leaf.match.hosts
        if not hosts:
            return [self._any]
        return [self._hosts.setdefault(name, Tree()) for name in dict.fromkeys(host.lower().encode() for host in hosts)]

    def find(self, request: Request) -> Pipe:
        """The pipe of this request; what the path matched is left in `request.parameters`. Raises NotFound (no_route) and
        InvalidInput (method_not_allowed, `Allow` is told; or a path that is no UTF-8)."""
        path = request.target
        query = path.find(b"?")
        if query >= 0:
            path = path[:query]
        if not self._hosts:  # 1: one tree, and the path has no variable: nothing to search
            end = self._any.exact.get(path)
            if end is not None:
                leaves = end.by_verb.get(request.verb, end.other)
                if leaves and not leaves[0].conditions:
                    return leaves[0].pipe
            return self._search(self._any_alone, path, request)
        return self._search(tuple(self._trees(request.host)), path, request)

    def _search(self, trees: "tuple[Tree, ...]", path: bytes, request: Request) -> Pipe:
        search = Search(request)
        try:
            for tree in trees:
                leaf = search.among(tree, path)
                if leaf is not None:
                    if leaf.is_variable:
                        matched = Matched(leaf.pattern, search.segments, path)
                        if _PERCENT in path:
                            request.parameters = matched()
                        else:  # ASCII, so it can't fail: made when somebody asks
                            request._matched = matched
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


class Matched:
    """What the variables of a pattern took of a path: called for `Request.parameters`."""

    __slots__ = ("_path", "_pattern", "_segments")

    def __init__(self, pattern: PathPattern, segments: list[bytes], path: bytes) -> None:
        self._pattern = pattern
        self._segments = segments
        self._path = path

    def __call__(self) -> dict[str, str]:
        pattern, segments = self._pattern, self._segments
        try:
            found = {name: segments[place + 1].decode() for place, name in pattern.names}
            if pattern.rest:
                rest = b"/".join(segments[len(pattern.segments) + 1 :])
                found[pattern.rest] = (rest + b"/" if rest and self._path[-1:] == b"/" else rest).decode()
        except UnicodeDecodeError:
            raise InvalidInput("the path is no UTF-8") from None
        return found


def _refused(request: Request, methods: set[bytes]) -> InvalidInput:
    offered = ", ".join(sorted(method.decode() for method in methods))
    request.tell("Allow", offered)  # RFC 9110 §15.5.6
    return InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")
