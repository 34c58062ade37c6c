"""apply, diff, export, init and schema as a person runs them."""

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own

PLATFORM = """\
version: 1
plans:
  gold: {per_s: "${RATE:-100}", burst: 20}
sources:
  sales:
    adapter: http_json
    settings: {url: "http://127.0.0.1:1"}
    datasets:
      customer: {object: customer, key: [id], fields: {id: text}}
services:
  customers: {kind: asynchronous, dataset: sales.customer}
apps:
  shop: {plan: gold, scopes: ["customers:read"], title: 小程序}
"""


@pytest.fixture
def platform_yaml(tmp_path: Path) -> Path:
    return _write(tmp_path / "platform.yaml", PLATFORM)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


async def test_apply_then_nothing_to_do(zhiyun: CommandLine, platform_yaml: Path) -> None:
    looked = await zhiyun.ok("diff")
    assert "+ app shop" in looked.out
    assert "4 to change" in looked.out
    dry = await zhiyun.ok("apply", "--dry-run", "--json")
    assert dry.json["dry_run"] is True
    assert len(dry.json["changes"]) == 4
    assert "4 changed" in (await zhiyun.ok("apply")).out
    assert "nothing to do: 4 unchanged" in (await zhiyun.ok("apply", "-f", str(platform_yaml))).out
    changed = await zhiyun.ok("apply", "--set", "RATE=7")
    assert "~ plan gold: per_s" in changed.out
    _write(platform_yaml, "version: 1\n")
    assert "- app shop" in (await zhiyun.ok("diff", "--prune")).out
    assert "4 changed" in (await zhiyun.ok("apply", "--prune")).out


async def test_an_export_is_applied_again(zhiyun: CommandLine, platform_yaml: Path) -> None:
    await zhiyun.ok("apply")
    await zhiyun.ok("export", "-f", "copy.yaml")
    again = await zhiyun("export", "-f", "copy.yaml")
    assert (again.status, "is there already" in again.err) == (1, True)
    assert "nothing to do" in (await zhiyun.ok("apply", "-f", "copy.yaml", "--prune")).out
    assert (await zhiyun.ok("export", "--json")).json["apps"]["shop"]["title"] == "小程序"


async def test_what_is_wrong_is_told_by_file_and_line(zhiyun: CommandLine, platform_yaml: Path) -> None:
    _write(platform_yaml, PLATFORM.replace("title: 小程序", "titel: x").replace("plan: gold", "plan: glod"))
    ended = await zhiyun("apply")
    assert ended.status == 1
    assert "platform.yaml:13:" in ended.err
    assert "did you mean 'title'?" in ended.err
    _write(platform_yaml, "plans: [\n")
    assert "platform.yaml:2:" in (await zhiyun("apply")).err
    missing = await zhiyun("apply", "-f", "none.yaml")
    assert (missing.status, "none.yaml" in missing.err) == (1, True)
    assert (await zhiyun("apply", "--set", "RATE")).status == 1


async def test_init_and_schema_need_no_node(alone: CommandLine) -> None:
    await alone.ok("init")
    assert (alone.folder / "platform.yaml").read_text(encoding="utf-8").startswith("# What the platform shares")
    again = await alone("init")
    assert (again.status, "was not touched" in again.err) == (1, True)
    schema = (await alone.ok("schema")).json
    assert "http_json" in schema["$defs"]["Source"]["properties"]["adapter"]["enum"]


async def test_rollback_shows_then_does_and_refuses_in_one_line(zhiyun: CommandLine, platform_yaml: Path) -> None:
    then = (await zhiyun.ok("apply", "--json")).json["revision"]
    _write(platform_yaml, PLATFORM.replace("小程序", "商城"))
    await zhiyun.ok("apply")
    dry = await zhiyun.ok("rollback", str(then), "--dry-run")
    assert "~ app shop: title" in dry.out
    assert "would roll back: 1 to change" in dry.out
    assert "rolled back: 1 changed" in (await zhiyun.ok("rollback", str(then))).out
    assert "小程序" in (await zhiyun.ok("app", "show", "shop")).out
    refused = await zhiyun("rollback", "9999")
    assert (refused.status, "no revision 9999" in refused.err, refused.err.count("\n")) == (1, True, 1)
