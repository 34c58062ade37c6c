"""Sense of the policies of a route or a service, beyond what their types say. Pure: a user's own stage is not imported here."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from config.check_limits import limit_problems
from config.policies import Policies
from config.problem import Path, Problem, suggestion

_PATH_VARIABLE = re.compile(r"(?<!\{)\{path\.([A-Za-z_][A-Za-z0-9_]*)(?:\.\.\.)?\}")


def policy_problems(policies: Policies, path: Path, *, anonymous: bool, names: frozenset[str] | None) -> Iterator[Problem]:
    """`names` are the variables of the route's path, None where they are not known."""
    if not policies.authenticate and not anonymous:
        yield Problem(
            (*path, "authenticate"), "without any means nobody can prove who calls; list one, or make the route anonymous"
        )
    if len(set(policies.authenticate)) < len(policies.authenticate):
        yield Problem((*path, "authenticate"), "names a means twice")
    yield from limit_problems(policies.limits, (*path, "limits"), anonymous=anonymous)
    if policies.transform is not None and names is not None:
        yield from _unknown_variables(msgspec.to_builtins(policies.transform), names, (*path, "transform"))


def _unknown_variables(value: Any, names: frozenset[str], path: Path) -> Iterator[Problem]:
    """`{path.name}` of a name that the route's path does not have would always be empty."""
    if isinstance(value, str):
        for name in _PATH_VARIABLE.findall(value):
            if name not in names:
                yield Problem(path, f"'{{path.{name}}}' is no variable of the route's path{suggestion(name, names - {''})}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown_variables(item, names, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_variables(item, names, (*path, str(index)))
