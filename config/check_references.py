"""Names that lead nowhere, for all checks of the platform as a whole. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from config.model import KINDS, Platform
from config.problem import Path, Problem, suggestion


@dataclass(frozen=True, slots=True)
class References:
    """`broken` holds paths of resources, or whole sections, that are declared but left out of `platform` because their shape is
    wrong: references to them are not judged."""

    platform: Platform
    broken: frozenset[Path]

    def missing(self, kind: str, name: str, path: Path) -> Iterator[Problem]:
        """One problem, where no resource of that kind has the name."""
        section = KINDS[kind][0]
        known: Mapping[str, object] = getattr(self.platform, section)
        if name not in known and not self.is_broken(section, name):
            yield Problem(path, f"{kind} '{name}' is not declared in {section}{suggestion(name, known)}")

    def is_broken(self, section: str, name: str) -> bool:
        return (section, name) in self.broken or (section,) in self.broken
