"""What a route asks of header fields and query beyond host, path and method. Compiled when a snapshot is loaded."""

import re
from collections.abc import Callable

from config.upstreams import Match
from gateway.stage import Request

Condition = Callable[[Request], bool]
MAX_SEARCHED = 512
"""Longer values match no regular expression: what it costs stays bounded (see `config.check_regex`)."""


def conditions_of(match: Match) -> tuple[tuple[Condition, ...], tuple[int, ...]]:
    """All of them, the cheap ones first, and how specific they are together: the number, then how many are exact, then how many are
    regular expressions."""
    headers = [(_rank(wanted), _header(name.lower(), _test(wanted))) for name, wanted in match.headers.items()]
    query = [(_rank(wanted), _query(name, _test(wanted))) for name, wanted in match.query.items()]
    ranks = [rank for rank, _ in (*headers, *query)]
    return tuple(condition for _, condition in (*headers, *query)), (len(ranks), ranks.count(2), ranks.count(1))


def _rank(wanted: str) -> int:
    return 0 if wanted == "*" else 1 if wanted.startswith("~") else 2


def _test(wanted: str) -> Callable[[str], bool]:
    if wanted == "*":
        return lambda value: True
    if wanted.startswith("~"):
        matches = re.compile(wanted[1:]).fullmatch
        return lambda value: len(value) <= MAX_SEARCHED and matches(value) is not None
    return wanted.__eq__


def _header(name: str, test: Callable[[str], bool]) -> Condition:
    def fits(request: Request) -> bool:
        value = request.headers.get(name)
        return value is not None and test(value)

    return fits


def _query(name: str, test: Callable[[str], bool]) -> Condition:
    return lambda request: any(given == name and test(value) for given, value in request.query)
