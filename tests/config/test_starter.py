"""The starter is right as it is written: it loads, checks, and has one service of each kind."""

from pathlib import Path

from config.load import load_platform, parse_document
from config.starter import starter_text
from tests.config.sample import ADAPTERS


def test_starter_passes_with_its_two_secrets_given(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(starter_text(), encoding="utf-8")
    document = load_platform(path, {"SALES_PASSWORD": "a", "DROPS_PASSWORD": "b", "SALES_PORT": "1444"}, ADAPTERS)
    platform = parse_document(document, ADAPTERS)
    assert {service.kind for service in platform.services.values()} == {"asynchronous", "synchronous", "realtime"}
    assert platform.sources["sales"].settings["port"] == 1444
    assert len(platform.apps) == len(platform.plans) == 1
    assert platform.jobs.keys() == {"collect-customers", "collect-deals"}


def test_what_is_commented_out_may_be_taken_in(tmp_path: Path) -> None:
    text = starter_text()
    start = text.index("# upstreams:")
    path = tmp_path / "platform.yaml"
    path.write_text(text[:start] + "\n".join(line[2:] for line in text[start:].splitlines()), encoding="utf-8")
    document = load_platform(path, {"SALES_PASSWORD": "a", "DROPS_PASSWORD": "b"}, ADAPTERS)
    assert list(document["routes"]) == list(document["upstreams"]) == ["erp"]


def test_editors_are_told_the_schema() -> None:
    assert starter_text("platform.schema.json").startswith("# yaml-language-server: $schema=platform.schema.json\n#")
