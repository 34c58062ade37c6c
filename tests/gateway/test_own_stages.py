"""Stages of a user's own: found, checked, placed; and every way in which one is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from config.policies import OwnStage
from core.errors import ConfigError
from gateway.own_stages import PlacedStage, Position, load_own_stages, with_own_stages
from gateway.stage import Outcome, Request

GOOD = """
import msgspec
from core.errors import ConfigError
from core.secret import Secret
from gateway.own_stages import StagePlugin

class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: int = 3
    key: Secret = Secret("")

class Own:
    name = "own"
    def __init__(self, settings, route):
        self.settings, self.route = settings, route
    def on_request(self, request):
        return None

def make(settings, route):
    if settings.limit == 13:
        raise ConfigError("limit: thirteen is unlucky")
    return object() if settings.limit == 14 else Own(settings, 1 / settings.limit and route)

STAGE = StagePlugin("own", Settings, make, after="authorise")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on the path; what is imported from it is forgotten again."""
    before = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_a_stage_is_made_for_each_route_with_its_settings(folder: Path) -> None:
    (folder / "own_good.py").write_text(GOOD)
    declared = [OwnStage("own_good", {"limit": 5, "key": "s3cret"}), OwnStage("own_good")]
    first, second = load_own_stages(declared, "route shop")
    assert (first.after, first.stage.name) == ("authorise", "own")
    settings = getattr(first.stage, "settings")  # noqa: B009
    assert (settings.limit, settings.key.reveal(), getattr(second.stage, "settings").limit) == (5, "s3cret", 3)  # noqa: B009
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (None, {}, "can't be imported (ModuleNotFoundError: No module named 'own_tried')"),
        ("import no_such_module", {}, "can't be imported (ModuleNotFoundError: No module named 'no_such_module')"),
        ("def (", {}, "can't be imported (SyntaxError"),
        ("1 / 0", {}, "can't be imported (ZeroDivisionError"),
        ("import sys; sys.exit(3)", {}, "can't be imported (SystemExit: 3)"),
        ("x = y", {}, "can't be imported (NameError"),
        ("", {}, "has no STAGE of type gateway.own_stages.StagePlugin"),
        ("STAGE = 1", {}, "has no STAGE"),
        (GOOD.replace('"authorise"', '"nowhere"'), {}, "`after` is 'nowhere'; one of cors, compress, authenticate"),
        (GOOD, {"limit": "x"}, "settings: Expected `int`, got `str` - at `$.limit`"),
        (GOOD, {"limt": 1}, "settings: Object contains unknown field `limt`"),
        (GOOD, {"limit": 13}, "limit: thirteen is unlucky"),
        (GOOD, {"limit": 0}, "can't be made (ZeroDivisionError"),
        (GOOD, {"limit": 14}, "`make` gave object, which has no `name` and `on_request`"),
    ],
)
def test_one_that_can_not_be_made_is_refused_with_route_and_module(
    folder: Path, source: str | None, settings: dict[str, object], message: str
) -> None:
    if source is not None:
        (folder / "own_tried.py").write_text(source)
    with pytest.raises(ConfigError) as caught:
        load_own_stages([OwnStage("own_tried", settings)], "route shop")
    assert caught.value.detail.startswith("route shop: stage own_tried: ")
    assert message in caught.value.detail


@pytest.mark.parametrize("use", ["a/b", "../a", "a-b", "", "a.", "os;"])
def test_a_name_that_is_no_module(use: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"use": use}, OwnStage)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def on_request(self, request: Request) -> Outcome:
        return None


def order(stages: list[str], **own: Position) -> list[str]:
    placed = [PlacedStage(after, Named(name)) for name, after in own.items()]
    return [stage.name for stage in with_own_stages([Named(name) for name in stages], placed)]


def test_own_stages_stand_behind_those_up_to_their_place() -> None:
    full = ["cors", "authenticate", "authorise", "limit", "cache", "transform"]
    assert order(full, own="limit") == ["cors", "authenticate", "authorise", "limit", "own", "cache", "transform"]
    assert order(full, own="validate") == ["cors", "authenticate", "authorise", "limit", "own", "cache", "transform"]
    assert order(full, a="transform", b="cors", c="cors") == [
        "cors",
        "b",
        "c",
        "authenticate",
        "authorise",
        "limit",
        "cache",
        "transform",
        "a",
    ]
    assert order(["lists", "authenticate", "sessions", "limit"], own="authenticate") == [
        "lists", "authenticate", "sessions", "own", "limit",
    ]  # fmt: skip
    assert order([], own="cache") == ["own"]
