"""Types that adapters may use beyond those of the sample, and secrets inside documents."""

from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from msgspec import Struct

from config.model import Platform
from config.problem import InvalidDocument
from config.types import convert
from config.validation import Validation, map_secrets
from core.errors import InvalidInput
from core.secret import Secret
from tests.config.sample import WebSettings


class Level(Enum):
    LOW = "low"


class Odd(Struct, forbid_unknown_fields=True):
    day: date = date(2024, 1, 1)
    level: Level = Level.LOW
    pair: tuple[int, str] = (1, "a")
    names: frozenset[str] = frozenset()
    either: int | str | None = None
    size: Literal[1, 2] | None = None
    of_size: dict[str, list[int]] = {}


def problems(kind: Any, value: Any) -> list[tuple[str, str]]:
    validation = Validation()
    validation.run(kind, value)
    return [(".".join(problem.path), problem.text) for problem in validation.problems]


@pytest.mark.parametrize(
    "value",
    [{}, {"day": "2024-05-10", "level": "low", "pair": [2, "b"], "names": ["x"], "either": 5, "size": 2}, {"either": "text"}],
)
def test_types_of_all_sorts_pass(value: Any) -> None:
    assert problems(Odd, value) == []
    assert isinstance(convert(value, Odd), Odd)


@pytest.mark.parametrize(
    ("value", "path", "text"),
    [
        ({"day": "tomorrow"}, "day", "invalid RFC3339 encoded date"),
        ({"level": "high"}, "level", "invalid enum value 'high'"),
        ({"pair": [1]}, "pair", "expected `array` of length 2"),
        ({"pair": ["a", "b"]}, "pair.0", "expected `int`, got `str`"),
        ({"names": [1]}, "names.0", "expected text, got the number 1; put it in quotes"),
        ({"either": [1]}, "either", "expected a whole number or text, got a list"),
        ({"size": 3}, "size", "expected one of 1, 2, got the number 3"),
        ({"of_size": {"a": [1, None]}}, "of_size.a.1", "expected a whole number, got nothing"),
    ],
)
def test_what_is_wrong_has_its_path(value: Any, path: str, text: str) -> None:
    [(found_path, found_text)] = problems(Odd, value)
    assert found_path == path
    assert found_text.startswith(text)


def test_secrets_are_mapped_wherever_they_stand() -> None:
    document = {
        "url": "http://x",
        "auth": {"kind": "basic", "user": "u", "password": "a"},
        "headers": {"X-Key": "b"},
    }
    masked = map_secrets(WebSettings, document, lambda _: "***")
    assert masked == {**document, "auth": {"kind": "basic", "user": "u", "password": "***"}, "headers": {"X-Key": "***"}}
    assert document["headers"] == {"X-Key": "b"}
    assert convert(masked, WebSettings).headers == {"X-Key": Secret("***")}


def test_secret_that_cannot_be_opened_is_refused_by_its_path() -> None:
    def refuse(_: str) -> str:
        raise ValueError("was sealed under another master key")

    with pytest.raises(InvalidDocument, match=r"^headers\.X-Key: was sealed under another master key"):
        map_secrets(WebSettings, {"url": "http://x", "headers": {"X-Key": "sealed:b"}}, refuse)


def test_conversion_names_the_field() -> None:
    with pytest.raises(InvalidInput, match=r"auth\.token"):
        convert({"url": "http://x", "auth": {"kind": "bearer", "token": 5}}, WebSettings)


def test_what_a_part_says_of_itself_is_told_with_its_whole_path() -> None:
    route = {"match": {"path": "/x"}, "upstream": "one", "policies": {"cors": {"origins": ["*"], "credentials": True}}}
    validation = Validation()
    validation.run(Platform, {"version": 1, "routes": {"shop": route}})
    (problem,) = validation.problems
    assert problem.path == ("routes", "shop", "policies", "cors")
    assert problem.text == "origins: `*` can't be combined with credentials: list the origins"
