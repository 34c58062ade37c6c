"""Which upstream a request of a route goes to where the route splits its traffic (canary). Absent where there are no splits."""

from collections.abc import Callable

from config.upstreams import Route, Split
from gateway.stage import Request
from gateway.upstream.balance import place

_SLOTS = 10_000  # hundredths of a percent


class Splitter:
    """The first split whose header value or app fits takes the request; the others are drawn by weight. One app always draws the
    same lot (so a client does not jump between versions), and so does a request id where there is no app. A split with a header or
    apps and a weight does both: its weight is for the rest."""

    def __init__(self, route_name: str, route: Route) -> None:
        self._upstream = route.upstream
        self._tests = tuple(test for split in route.splits if (test := _test_of(split)) is not None)
        self._lots = _lots(route.splits)
        self._salt = route_name.encode() + b"\0"  # an app that is unlucky on one route is not so on all

    def choose(self, request: Request) -> str:
        """The upstream's name."""
        for fits, upstream in self._tests:
            if fits(request):
                return upstream
        if self._lots:
            identity = request.identity
            who = identity.app if identity is not None else request.request_id
            lot = place(self._salt + who.encode("utf-8", "replace")) % _SLOTS
            for end, upstream in self._lots:
                if lot < end:
                    return upstream
        return self._upstream


def make_splitter(route_name: str, route: Route) -> Splitter | None:
    """None: all goes to `route.upstream`."""
    return Splitter(route_name, route) if route.splits else None


def _test_of(split: Split) -> tuple[Callable[[Request], bool], str] | None:
    name = split.header.lower() if split.header else ""
    value, apps = split.value, frozenset(split.apps)
    if not name and not apps:
        return None

    def fits(request: Request) -> bool:
        if name and request.headers.get(name) == value:
            return True
        return request.identity is not None and request.identity.app in apps

    return fits, split.upstream


def _lots(splits: tuple[Split, ...]) -> tuple[tuple[int, str], ...]:
    """Upper bounds of each split's share of the slots."""
    lots, end = [], 0.0
    for split in splits:
        if split.weight:
            end += split.weight * _SLOTS / 100
            lots.append((round(end), split.upstream))
    return tuple(lots)
