"""The page on transforming against the code: each declaration on it works, each mask and translation says what happens."""

import re
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from config.model import App
from config.policies import Mask, Policies
from config.types import convert
from gateway.shaping import Shaping
from gateway.views import View, cover
from gateway.xml_json import from_xml, to_xml
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/transforming.md").read_text(encoding="utf-8")
BLOCKS: list[dict[str, Any]] = [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
MASKS = re.findall(r"^\| `(\{.*?\})` \| `?(null|[\d*]+)`? \|$", PAGE, re.MULTILINE)
MAPPING = re.findall(r"^\| `(<.*?>)` \| (from )?`(\{.*?\})`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("declared", [block["policies"] for block in BLOCKS if "policies" in block])
def test_the_policies_on_the_page_can_be_loaded(declared: dict[str, Any]) -> None:
    shaping = Shaping(convert(declared, Policies), "route x")
    assert len(shaping.stages((), ())) == 1


def test_the_grant_on_the_page_can_be_loaded() -> None:
    (block,) = [block for block in BLOCKS if "apps" in block]
    app = msgspec.convert(block["apps"]["clerk"], App)
    record = {"customer_id": "K1", "name": "李明", "mobile": "13812348000", "address": {"city": "上海", "street": "x"}, "score": 1}
    assert View(app.grants["customers"]).shown(record) == {
        "customer_id": "K1",
        "name": "李*",
        "mobile": "138****8000",
        "address": {"city": "上海"},
    }


def test_masks_do_what_the_page_says() -> None:
    assert len(MASKS) == 5
    for text, expected in MASKS:
        mask = msgspec.convert(YAML(typ="safe").load(text), Mask)
        assert cover(mask)("13812348000") == (None if expected == "null" else expected)


def test_xml_becomes_what_the_page_says() -> None:
    assert len(MAPPING) == 5
    for xml, is_written, text in MAPPING:
        value = msgspec.json.decode(text)
        if is_written:
            assert to_xml(value, "r").endswith(xml.encode())
        else:
            assert from_xml(xml.encode()) == value
