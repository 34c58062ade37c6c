"""Regular expressions that a platform document may hold: those whose cost is bounded for any value. Pure.

Python's engine goes back over what it tried, which a hostile value can make take for ever; what it could go back over is limited.
"""

import re
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]  # the one parser there is; typeshed has it under an old name
from typing import Any

MAX_LENGTH = 256
_MAX_REPEAT = 256
_MAX_UNBOUNDED = 2  # over values of at most 512 characters: some 100,000 steps
_FREE = frozenset((_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT, _constants.CATEGORY))
_REPEATS = frozenset((_constants.MAX_REPEAT, _constants.MIN_REPEAT))


@lru_cache(maxsize=1024)
def regex_problem(pattern: str) -> str | None:
    """What is wrong with it, None for one that may be used."""
    if len(pattern) > MAX_LENGTH:
        return f"a regular expression has at most {MAX_LENGTH} characters, this has {len(pattern)}"
    try:
        re.compile(pattern)
        return _costly(_parser.parse(pattern))
    except (re.error, ValueError, OverflowError, RecursionError, FutureWarning) as error:
        return f"'{pattern}' is no regular expression: {error}"


def _costly(parsed: Any) -> str | None:
    unbounded = _Repeats()
    found = unbounded.walk(parsed)
    if found is None and unbounded.count > _MAX_UNBOUNDED:
        return f"has {unbounded.count} repeats without an upper bound; at most {_MAX_UNBOUNDED} keep its cost bounded"
    return found


class _Repeats:
    """One walk over a parsed pattern."""

    def __init__(self) -> None:
        self.count = 0

    def walk(self, parsed: Any, *, is_repeated: bool = False) -> str | None:
        for operation, argument in parsed:
            if operation in _REPEATS:
                found = self._repeat(argument, is_repeated)
            elif operation is _constants.SUBPATTERN:
                found = self.walk(argument[-1], is_repeated=is_repeated)
            elif operation is _constants.BRANCH:
                found = "has alternatives inside a repeat" if is_repeated else self._first(argument[1])
            elif operation in _FREE:
                found = None
            else:
                found = "looks around or back, which is not taken here; use characters, classes, groups, alternatives and repeats"
            if found is not None:
                return found
        return None

    def _first(self, branches: list[Any]) -> str | None:
        return next((found for branch in branches if (found := self.walk(branch)) is not None), None)

    def _repeat(self, argument: Any, is_repeated: bool) -> str | None:
        least, most, inner = argument
        if most != least and is_repeated:
            return "has a repeat inside a repeat"
        if most == _constants.MAXREPEAT:
            self.count += 1
        elif most > _MAX_REPEAT:
            return f"has a repeat of more than {_MAX_REPEAT}"
        return self.walk(inner, is_repeated=is_repeated or most > 1)
