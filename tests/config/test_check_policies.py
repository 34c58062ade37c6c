"""Policies that can't work are refused."""

from typing import Any

import pytest

from config.check_policies import policy_problems
from config.policies import Policies
from config.types import convert


def found(
    policies: dict[str, Any], *, anonymous: bool = False, names: frozenset[str] | None = frozenset({"id", "rest", ""})
) -> dict[str, str]:
    made = convert(policies, Policies)
    return {".".join(each.path): each.text for each in policy_problems(made, ("policies",), anonymous=anonymous, names=names)}


def test_what_can_work() -> None:
    assert found({}) == {}
    assert found({"authenticate": []}, anonymous=True) == {}
    transform = {
        "path": "/v2/{path.id}/{path.rest...}",
        "request_headers": {"set": {"X-Id": "{path.id}{{path.no}}"}},
        "request_body": {"a": ["{path.id}", 1, None]},
    }
    assert found({"transform": transform}) == {}
    assert found({"transform": {"path": "/{path.whatever}"}}, names=None) == {}


@pytest.mark.parametrize(
    ("policies", "place", "text"),
    [
        ({"authenticate": []}, "authenticate", "nobody can prove who calls"),
        ({"authenticate": ["bearer", "key", "bearer"]}, "authenticate", "names a means twice"),
        ({"limits": [{"per_s": 1}]}, "limits.0.burst", "required beside per_s"),
        ({"transform": {"path": "/{path.ids}"}}, "transform.path", "did you mean 'id'?"),
        (
            {"transform": {"query_set": {"q": "{path.no}"}}},
            "transform.query_set.q",
            "'{path.no}' is no variable of the route's path",
        ),
        (
            {"transform": {"answer_headers": {"secret": {"X-Key": "s3cret-{path.no}"}}}},
            "transform.answer_headers.secret",
            "every client would read it",
        ),
        (
            {"transform": {"request_headers": {"set": {"authorization": "a"}, "secret": {"Authorization": "s3cret-b"}}}},
            "transform.request_headers.secret.Authorization",
            "is given twice",
        ),
        ({"transform": {"request_body": {"a": [{"b": "{path.no}"}]}}}, "transform.request_body.a.0.b", "no variable"),
    ],
)
def test_what_cannot_work_is_named(policies: dict[str, Any], place: str, text: str) -> None:
    problem = found(policies)
    assert list(problem) == [f"policies.{place}"]
    assert text in problem[f"policies.{place}"]


def test_an_anonymous_route_counts_nobody_by_name() -> None:
    assert list(found({"limits": [{"per_s": 1, "burst": 1}]}, anonymous=True)) == ["policies.limits.0.per"]
