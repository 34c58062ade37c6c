"""The page about stages against what it speaks of."""

import re
from pathlib import Path
from typing import get_args

import msgspec
from ruamel.yaml import YAML

from config.upstreams import Route
from gateway import stage
from gateway.own_stages import Position
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/adding-a-stage.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples/stage_example.py"


def test_the_declaration_on_the_page_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    declared = YAML(typ="safe").load(block)["routes"]["orders"]
    route = msgspec.convert(declared, Route)
    assert route.policies.stages[0].use == EXAMPLE.stem


def test_the_order_on_the_page_is_the_gateways() -> None:
    assert " → ".join(f"`{name}`" for name in get_args(Position)) in PAGE


def test_every_hook_is_on_the_page_and_in_the_example() -> None:
    example = EXAMPLE.read_text(encoding="utf-8")
    protocols = (stage.Stage, stage.BodyStage, stage.AnswerStage, stage.EndStage, stage.Filter)
    hooks = {name for each in protocols for name in vars(each) if not name.startswith("_")} - {"name"}
    assert {"on_request", "wants_body", "collects", "on_response", "on_end", "feed", "finish"} <= hooks
    for hook in hooks:
        assert f"def {hook}(" in example
        assert hook in PAGE


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:gateway|core|tests|examples)/[\w/.]+\.py)`", PAGE)
    assert len(named) > 3
    assert [name for name in named if not Path(ROOT / name).exists()] == []
