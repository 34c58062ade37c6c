"""Stages of a user's own: one Python file with a `STAGE`, named in the policies of a route or service. See docs/adding-a-stage.md.

They are loaded when a snapshot is; one that can't be made refuses the snapshot, and the node goes on with the one it has.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from config.policies import OwnStage
from config.types import decode
from core.errors import ConfigError, PlatformError
from gateway.stage import Stage

Position = Literal["cors", "compress", "authenticate", "authorise", "limit", "fields", "validate", "cache", "transform"]
"""The stages in their fixed order, by name. Requests pass them from left to right, answers from right to left."""

_RANKS = {name: rank for rank, name in enumerate(get_args(Position))}
_MISTAKES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError, SyntaxError,
    SystemExit, TypeError, ValueError, msgspec.MsgspecError,
)  # fmt: skip
"""What foreign code may raise while it is loaded."""


@dataclass(frozen=True, slots=True)
class StagePlugin:
    """What a module calls `STAGE`. `settings` is a msgspec Struct; `make` is called with one of them and the name of the route or
    service, once for each that uses the stage. `after` names the stage behind which it stands."""

    name: str
    settings: type[msgspec.Struct]
    make: Callable[[Any, str], Stage]
    after: Position = "validate"


@dataclass(frozen=True, slots=True)
class PlacedStage:
    after: Position
    stage: Stage


def load_own_stages(declared: Sequence[OwnStage], where: str) -> list[PlacedStage]:
    """The stages of one route or service in the order declared; `where` (`route shop`) is how errors begin. Raises ConfigError."""
    return [_made(_plugin(each.use, f"{where}: stage {each.use}"), each, where) for each in declared]


def with_own_stages(stages: Sequence[Stage], own: Sequence[PlacedStage]) -> list[Stage]:
    """The stages of a pipe, each own one behind those up to its place; several at one place keep their order."""
    ranked: list[tuple[int, Stage]] = []
    rank = 0
    for stage in stages:
        rank = _RANKS.get(stage.name, rank)
        ranked.append((rank, stage))
    ranked += [(_RANKS[each.after], each.stage) for each in own]
    return [stage for _, stage in sorted(ranked, key=lambda pair: pair[0])]


def _plugin(module: str, where: str) -> StagePlugin:
    try:
        plugin = getattr(importlib.import_module(module), "STAGE", None)
    except _MISTAKES as error:
        text = f"{where}: can't be imported ({type(error).__name__}: {error}); its folder must be on PYTHONPATH"
        raise ConfigError(text) from error
    if not isinstance(plugin, StagePlugin):
        raise ConfigError(f"{where}: has no STAGE of type gateway.own_stages.StagePlugin; see docs/adding-a-stage.md")
    if plugin.after not in _RANKS:
        raise ConfigError(f"{where}: `after` is {plugin.after!r}; one of {', '.join(_RANKS)}")
    return plugin


def _made(plugin: StagePlugin, declared: OwnStage, where: str) -> PlacedStage:
    at = f"{where}: stage {declared.use}"
    try:
        settings = msgspec.convert(declared.settings, plugin.settings, dec_hook=decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{at}: settings: {error}") from error
    try:
        stage = plugin.make(settings, where)
    except PlatformError as error:
        raise ConfigError(f"{at}: {error.detail}") from error
    except _MISTAKES as error:
        raise ConfigError(f"{at}: can't be made ({type(error).__name__}: {error})") from error
    if not isinstance(stage, Stage):
        raise ConfigError(f"{at}: `make` gave {type(stage).__name__}, which has no `name` and `on_request`; see gateway/stage.py")
    return PlacedStage(plugin.after, stage)
