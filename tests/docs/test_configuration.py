"""docs/configuration.md and the published JSON Schema against the code."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from adapters.loader import load_adapters
from config.load import load_platform
from config.model import KINDS, Service
from config.policies import Policies
from config.schema import custom_type, json_schema
from config.settings import Settings, load_settings
from config.upstreams import Upstream
from core.schema import FieldType
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
SCHEMA = ROOT / "docs/platform.schema.json"


def rows(section: str) -> dict[str, str]:
    """First column → second column of the table under a heading."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]*?) \|", text, re.MULTILINE))


def test_each_setting_is_on_the_page_in_the_order_of_the_code() -> None:
    assert [name for name in rows("Settings of a node") if name in Settings.__struct_fields__] == list(Settings.__struct_fields__)


@pytest.mark.parametrize("name", ["data_dir", "http", "channel", "console", "workers", "log_level", "drain_s"])
def test_the_default_on_the_page_is_the_one_of_the_code(name: str) -> None:
    told = rows("Settings of a node")[name].strip("`")
    default = getattr(Settings(), name)
    assert told == (f"{default:g}" if isinstance(default, float) else str(default))


def test_the_example_file_is_accepted(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(# zhiyun\.yaml\n.*?)```", PAGE, re.DOTALL)[0]
    key = tmp_path / "master_key"
    key.write_text("k" * 32)
    file = tmp_path / "zhiyun.yaml"
    file.write_text(example.replace("/run/secrets/master_key", str(key)), encoding="utf-8")
    variables = {"DATABASE_URL": "mysql://u:p@db:3306/zhiyun", "BUS_PASSWORD": "secret"}
    settings = load_settings(file, variables, {})
    assert settings.roles == ("gateway",)
    assert settings.database.reveal() == variables["DATABASE_URL"]


def test_sections_kinds_and_types_of_the_platform_document_are_on_the_page() -> None:
    part = PAGE.partition("## The platform document")[2]
    kinds = msgspec.json.schema(Service, schema_hook=custom_type)["$defs"]["Service"]["properties"]["kind"]["enum"]
    types = FieldType.__args__  # type: ignore[attr-defined]
    names = [section for section, _ in KINDS.values()] + [*kinds, *types]
    assert [name for name in names if f"`{name}`" not in part] == []


@pytest.mark.parametrize(
    "example", re.findall(r"```yaml\n(# platform\.yaml\n.*?)```", PAGE, re.DOTALL), ids=lambda text: text[16:30]
)
def test_each_platform_example_is_accepted(tmp_path: Path, example: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(f"version: 1\n{example}", encoding="utf-8")
    document = load_platform(path, {}, load_adapters())
    new = {"upstreams", "routes", "devices", "issuers", "lists", "contacts"}
    assert new & set(document)


def test_every_policy_and_every_setting_of_an_upstream_is_on_the_page() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE))))
    assert [
        name for name in (*Policies.__struct_fields__, *Upstream.__struct_fields__) if name not in told | {"hash_on", "title"}
    ] == []


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(json_schema(load_adapters()))), (
        "stale: write it anew with: ./zhiyun schema > docs/platform.schema.json"
    )


def test_the_starter_and_the_sample_name_the_schema_where_it_is() -> None:
    sample = ROOT / "examples/estate/platform.yaml"
    reference = re.match(r"# yaml-language-server: \$schema=(\S+)", sample.read_text(encoding="utf-8"))
    assert reference is not None
    assert (sample.parent / reference[1]).resolve() == SCHEMA


def test_the_sample_is_accepted_as_the_page_says() -> None:
    document = load_platform(ROOT / "examples/estate/platform.yaml", _Any(), load_adapters())
    assert set(document["sources"]) == {"sales", "property", "member", "callcentre", "broker", "marketing"}


class _Any(dict[str, str]):
    """Every variable that the sample's document may ask for."""

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return {"PORT": "1234", "WSDL": "http://127.0.0.1:1/?wsdl", "URL": "http://127.0.0.1:1"}.get(key.rpartition("_")[2], "text")
