"""Secrets in a value, found by its type."""

from typing import Any

import pytest
from msgspec import Struct

from config.model import KINDS
from config.secret_places import change_secrets, may_hold_secrets
from config.upstreams import Route
from core.secret import Secret


class Leaf(Struct, frozen=True, tag_field="type", tag="leaf"):
    password: Secret
    name: str = ""


class Bare(Struct, frozen=True, tag_field="type", tag="bare"):
    password: str


class Tree(Struct, frozen=True):
    title: str
    one: Leaf | Bare | None = None
    many: tuple[Leaf, ...] = ()
    named: dict[str, Secret] = {}
    below: "Tree | None" = None


def found(kind: Any, value: Any) -> dict[str, str]:
    places: dict[str, str] = {}

    def change(text: str, path: tuple[str, ...], context: str) -> str:
        places[".".join(path)] = f"{text} {context}"
        return "***"

    changed = change_secrets(kind, value, change, path=("x",), context="c")
    assert "s3cret" not in repr(changed)
    return places


def test_secrets_are_found_wherever_the_type_has_them() -> None:
    leaf = {"type": "leaf", "password": "s3cret", "name": "n"}
    value = {"title": "t", "one": leaf, "many": [leaf, leaf], "named": {"a": "s3cret"}, "below": {"title": "u", "one": leaf}}
    assert found(Tree, value) == {
        "x.one.password": "s3cret c/one/password",
        "x.many.0.password": "s3cret c/many/password",
        "x.many.1.password": "s3cret c/many/password",
        "x.named.a": "s3cret c/named",
        "x.below.one.password": "s3cret c/below/one/password",
    }


def test_what_is_no_secret_of_its_type_stays_the_same_object() -> None:
    value = {"title": "t", "below": None}
    assert change_secrets(Tree, value, lambda *_: "***") is value
    bare = {"title": "t", "one": {"type": "bare", "password": "shown"}}
    assert change_secrets(Tree, bare, lambda *_: "***") == bare
    assert change_secrets(Tree, {"title": "t", "named": "wrong"}, lambda *_: "***") == {"title": "t", "named": "wrong"}


@pytest.mark.parametrize(
    ("kind", "holds"), [("route", True), ("service", True), ("plan", False), ("app", False), ("upstream", False)]
)
def test_which_kinds_may_hold_secrets(kind: str, holds: bool) -> None:
    assert may_hold_secrets(KINDS[kind][1]) is holds


def test_a_route_has_them_in_the_headers_it_sends() -> None:
    route = {"policies": {"transform": {"request_headers": {"secret": {"Authorization": "s3cret"}, "set": {"X": "y"}}}}}
    assert found(Route, route) == {
        "x.policies.transform.request_headers.secret.Authorization": "s3cret c/policies/transform/request_headers/secret"
    }
