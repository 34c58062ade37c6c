"""Sense of routes: what they match, whether two match the same, what is the platform's own, where they lead. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.check_policies import policy_problems
from config.check_references import References
from config.check_regex import regex_problem
from config.path_pattern import PathPattern, parse_path
from config.problem import Path, Problem
from config.upstreams import Match, Route

OWN_PATHS = frozenset((b"oauth2", b"healthz", b"usage", b".well-known", b"soap", b"channel"))
"""First segments that the platform keeps for itself, on every host that no route names."""
SERVICES = b"v1"
_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,62})\.)*[a-z0-9_]([a-z0-9_-]{0,62})|\[[0-9a-f:.]+\]")


def route_problems(references: References) -> Iterator[Problem]:
    """Everything wrong with the routes of a platform."""
    platform = references.platform
    for name, route in platform.routes.items():
        path = ("routes", name)
        if name in platform.services:
            yield Problem(path, f"there is a service '{name}' too; scopes and grants could not tell them apart: rename one")
        pattern = None
        try:
            pattern = parse_path(route.match.path)
        except ValueError as error:
            yield Problem((*path, "match", "path"), f"'{route.match.path}': {error}")
        if pattern is not None:
            yield from _pattern(route, pattern, platform.services, path)
        yield from _match(route.match, (*path, "match"))
        yield from _leads(route, references, path)
        names = frozenset(each for _, each in pattern.names) | {pattern.rest} if pattern is not None else None
        yield from policy_problems(route.policies, (*path, "policies"), anonymous=route.anonymous, names=names)
    enabled = ((name, route.match) for name, route in platform.routes.items() if route.enabled)
    for later, earlier, what in route_conflicts(enabled):
        yield Problem(("routes", later, "match"), f"matches the same as route '{earlier}': {what}; change one of them")


def _pattern(route: Route, pattern: PathPattern, services: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    first, second = (*pattern.segments, None, None)[:2]
    at = (*path, "match", "path")
    if not route.match.hosts:
        if first in OWN_PATHS:
            yield Problem(at, f"/{first.decode()} is the platform's own; choose another path, or name the hosts of this route")
        if first == SERVICES and second is not None and second.decode("utf-8", "replace") in services:
            text = f"/v1/{second.decode()} is the data service '{second.decode()}'"
            yield Problem(at, f"{text}; choose another path, or name the hosts of this route")
    if route.strip > len(pattern.segments) and not pattern.rest:
        yield Problem((*path, "strip"), f"{route.strip} segments can't be taken off a path that has {len(pattern.segments)}")


def _match(match: Match, path: Path) -> Iterator[Problem]:
    for index, host in enumerate(match.hosts):
        if not _HOST.fullmatch(host.lower()):
            text = f"'{host}' is not a host name such as api.example.com or *.example.com, without port"
            yield Problem((*path, "hosts", str(index)), text)
    for index, method in enumerate(match.methods):
        if method == "CONNECT":
            yield Problem((*path, "methods", str(index)), "CONNECT is for forward proxies and never taken")
    for section, wanted in (("headers", match.headers), ("query", match.query)):
        for name, value in wanted.items():
            if value.startswith("~") and (reason := regex_problem(value[1:])):
                yield Problem((*path, section, name), reason)


def _leads(route: Route, references: References, path: Path) -> Iterator[Problem]:
    yield from references.missing("upstream", route.upstream, (*path, "upstream"))
    if route.shadow is not None:
        yield from references.missing("upstream", route.shadow.upstream, (*path, "shadow", "upstream"))
        if route.shadow.upstream == route.upstream:
            yield Problem((*path, "shadow", "upstream"), "is the route's own upstream, which would get each request twice")
    for index, split in enumerate(route.splits):
        at = (*path, "splits", str(index))
        yield from references.missing("upstream", split.upstream, (*at, "upstream"))
        for number, app in enumerate(split.apps):
            yield from references.missing("app", app, (*at, "apps", str(number)))
        if split.apps and route.anonymous:
            yield Problem((*at, "apps"), "an anonymous route knows no apps; use a header or a weight")
        if not (split.weight or split.header or split.apps):
            yield Problem(at, "takes no request: give it a weight, a header or apps")
    if (total := sum(split.weight for split in route.splits)) > 100:
        yield Problem((*path, "splits"), f"the weights are percents and come to {total:g}; at most 100")


def route_conflicts(matches: Iterable[tuple[str, Match]]) -> Iterator[tuple[str, str, str]]:
    """(later, earlier, what both match), once for each pair of routes of which neither is more specific and both match the same.
    Paths that can't be parsed are left out."""
    seen: dict[tuple[Any, ...], str] = {}
    told: set[tuple[str, str]] = set()
    for name, match in matches:
        try:
            segments, is_open = parse_path(match.path).shape()
        except ValueError:
            continue
        headers = frozenset((header.lower(), value) for header, value in match.headers.items())
        conditions = (headers, frozenset(match.query.items()))
        for host in match.hosts or ("",):
            for method in match.methods or ("",):
                earlier = seen.setdefault((host.lower(), segments, is_open, method, conditions), name)
                if earlier != name and (name, earlier) not in told:
                    told.add((name, earlier))
                    yield name, earlier, f"{method or 'any method'} {host or 'any host'} {match.path}"
