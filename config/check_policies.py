"""Sense of the policies of a route or a service, beyond what their types say. Pure: a user's own stage is not imported here."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from config.check_limits import limit_problems
from config.policies import Policies, Transform
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
    if policies.transform is not None:
        yield from _secret_problems(policies.transform, (*path, "transform"))
        if names is not None:
            plain = msgspec.to_builtins(policies.transform, enc_hook=lambda secret: "")
            yield from _unknown_variables(plain, names, (*path, "transform"))


def _secret_problems(transform: Transform, path: Path) -> Iterator[Problem]:
    if transform.answer_headers is not None and transform.answer_headers.secret:
        yield Problem((*path, "answer_headers", "secret"), "every client would read it; secrets are for request_headers")
    edit = transform.request_headers
    if edit is None:
        return
    told = [name.lower() for name in (*edit.set, *edit.add, *edit.secret)]
    for name in edit.secret:
        if told.count(name.lower()) > 1:
            yield Problem((*path, "request_headers", "secret", name), "is given twice; name a header once")


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
