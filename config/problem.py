"""What is wrong in a settings file or a platform document, and where: problems by path, places by line and column."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from core.errors import ConfigError

Path = tuple[str, ...]
"""Keys from the top of the document, list positions as digits: `("apps", "shop", "scopes", "0")`."""


class Problem(Struct, frozen=True):
    """One thing that is wrong, at `path` of the document. `text` says what and what to do, without the place."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Locator:
    """Where each part of a document stands in its file. Lines and columns count from 1.

    `interpolated` holds the paths of scalars that came from `${NAME}`: their text may serve a number field, and is never shown.
    """

    file: str
    places: Mapping[Path, tuple[int, int]]
    interpolated: frozenset[Path] = field(default_factory=frozenset)

    def place(self, path: Path) -> str:
        """`file:line:column` of the path, or of the nearest part around it that is written in the file."""
        known = next((path[:length] for length in range(len(path), -1, -1) if path[:length] in self.places), None)
        if known is None:
            return self.file
        line, column = self.places[known]
        return f"{self.file}:{line}:{column}"


class InvalidDocument(ConfigError):
    """A document with at least one problem; `detail` has one line for each, `problems` the same as values."""

    def __init__(self, problems: Sequence[Problem], where: Locator | None = None) -> None:
        super().__init__("\n".join(line(problem, where) for problem in problems))
        self.problems = tuple(problems)


def line(problem: Problem, where: Locator | None = None) -> str:
    """`platform.yaml:12:5: services.customers.filtres: unknown field; …`, without the place where there is no file."""
    parts = [where.place(problem.path)] if where else []
    if problem.path:
        parts.append(".".join(problem.path))
    return ": ".join([*parts, problem.text])


def refuse(problems: Iterable[Problem], where: Locator | None = None) -> None:
    """Raise InvalidDocument if there is any problem, each once, in the order of the file where there is one."""
    found = list(dict.fromkeys(problems))
    if where:
        found.sort(key=lambda problem: _position(problem.path, where))
    if found:
        raise InvalidDocument(found, where)


def _position(path: Path, where: Locator) -> tuple[int, int]:
    return next((where.places[path[:length]] for length in range(len(path), -1, -1) if path[:length] in where.places), (0, 0))


def suggestion(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'filters'?`, or else `; known are: …`, or nothing where nothing is valid."""
    names = sorted(valid)
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"; did you mean '{near[0]}'?"
    return f"; known are: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}" if names else ""
