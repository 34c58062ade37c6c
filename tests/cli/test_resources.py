"""Single resources of every kind from the command line, as the page on configuration shows it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cli.resources import SECTIONS, SWITCHED
from config.model import KINDS
from tests.cli.conftest import ROOT, CommandLine

PAGE = (
    (ROOT / "docs/configuration.md").read_text(encoding="utf-8").partition("### One resource at a time\n")[2].partition("\n## ")[0]
)
COMMANDS = re.findall(r"^\./zhiyun (.+)$", PAGE, re.MULTILINE)
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "EdDSA", "kid": "one"}
BODIES: dict[str, Any] = {
    "plan": {"per_s": 5, "burst": 9},
    "source": {"adapter": "http_json", "settings": {"url": "http://127.0.0.1:1"}},
    "upstream": {"endpoints": [{"url": "http://127.0.0.1:9"}], "balance": "ewma"},
    "route": {"match": {"path": "/shop/{rest...}"}, "upstream": "first"},
    "issuer": {"issuer": "https://id.example", "audience": "zhiyun", "algorithm": "EdDSA", "keys": [KEY]},
    "list": {"action": "deny", "addresses": ["203.0.113.0/24", "198.51.100.7"]},
}
SHOWN = {
    "plan": "5",
    "source": "http_json",
    "upstream": "ewma",
    "route": "/shop/{rest...}",
    "issuer": "1 declared",
    "list": "2 addresses",
}


def _write(folder: Path, name: str, body: Any) -> str:
    (folder / name).write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return name


def test_every_kind_of_the_model_has_its_commands() -> None:
    assert {kind: section for kind, (section, _) in KINDS.items()} == SECTIONS
    assert {kind for kind, (_, part) in KINDS.items() if "enabled" in part.__struct_fields__} == SWITCHED


@pytest.mark.slow
async def test_the_commands_on_the_page_work(zhiyun: CommandLine) -> None:
    assert len(FILES) == 2
    assert {command.split()[1] for command in COMMANDS} == {"put", "list", "show", "disable", "delete"}
    for name, body in FILES.items():
        _write(zhiyun.folder, name, body)
    told = [(await zhiyun.ok(*shlex.split(command))).out for command in COMMANDS]
    assert re.fullmatch(r"route shop is at version \d+\n", told[1])
    assert json.loads(told[3])["body"]["strip"] == 1
    assert told[4] == "route shop switched off\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", BODIES)
async def test_the_life_of_one_of_each_kind(zhiyun: CommandLine, kind: str) -> None:
    assert zhiyun.platform
    await zhiyun.platform.control.registry.put("upstream", "first", BODIES["upstream"], actor="test")
    body = _write(zhiyun.folder, "body.json", BODIES[kind])
    made = (await zhiyun.ok(kind, "put", "shop", "-f", body, "--new", "--json")).json
    version = made["version"]
    assert made["name"] == "shop"
    assert SHOWN[kind] in (await zhiyun.ok(kind, "list")).out
    shown = (await zhiyun.ok(kind, "show", "shop")).out
    again = await zhiyun.ok(kind, "put", "shop", "-f", "-", stdin=shown)
    assert again.out == f"{kind} shop is at version {version}\n", "what is shown can be put again and changes nothing"
    refused = await zhiyun(kind, "put", "shop", "-f", body, "--new")
    assert (refused.status, f"is at version {version}, not at version 0" in refused.err) == (1, True)
    if kind in SWITCHED:
        await zhiyun.ok(kind, "disable", "shop")
        assert (await zhiyun.ok(kind, "show", "shop", "--json")).json["body"]["enabled"] is False
        assert f"{kind} shop switched on" in (await zhiyun.ok(kind, "enable", "shop")).out
    unknown = await zhiyun(kind, "delete", "shpo")
    assert (unknown.status, "did you mean 'shop'?" in unknown.err) == (1, True)
    assert (await zhiyun.ok(kind, "delete", "shop", "--json")).json == {"name": "shop", "deleted": True}
    assert (await zhiyun(kind, "show", "shop")).status == 1


@pytest.mark.slow
async def test_what_is_wrong_is_told_in_plain_words(zhiyun: CommandLine) -> None:
    bad = _write(zhiyun.folder, "bad.yaml", "match:\n  path: /x\nupstraem: one\n")
    ended = await zhiyun("route", "put", "shop", "-f", bad)
    assert ended.status == 1
    assert "bad.yaml:3:1: routes.shop.upstraem: unknown field; did you mean 'upstream'?" in ended.err
    dangling = await zhiyun("route", "put", "shop", "-f", "-", stdin='{"match": {"path": "/x"}, "upstream": "nowhere"}')
    assert (dangling.status, "routes.shop.upstream" in dangling.err, "nowhere" in dangling.err) == (1, True, True)
    broken = await zhiyun("list", "put", "office", "-f", "-", stdin="addresses: [")
    assert (broken.status, "standard input:1" in broken.err) == (1, True)
    missing = await zhiyun("issuer", "put", "id", "-f", "none.yaml")
    assert (missing.status, missing.err) == (1, "zhiyun: none.yaml: cannot be read: No such file or directory\n")
    for name, body in FILES.items():
        _write(zhiyun.folder, name, body)
    await zhiyun.ok("upstream", "put", "shop", "-f", "shop-upstream.yaml")
    await zhiyun.ok("route", "put", "shop", "-f", "shop-route.yaml")
    used = await zhiyun("upstream", "delete", "shop")
    assert (used.status, "upstream shop is still used by route shop" in used.err) == (1, True)


@pytest.mark.slow
async def test_secrets_and_variables_are_resolved_here_and_never_shown(zhiyun: CommandLine) -> None:
    text = (
        "match: {path: '${ROOT_PATH}'}\nupstream: first\n"
        "policies: {transform: {request_headers: {secret: {Authorization: env:CRM_LOGIN}}}}\n"
    )
    assert zhiyun.platform
    await zhiyun.platform.control.registry.put("upstream", "first", BODIES["upstream"], actor="test")
    file = _write(zhiyun.folder, "crm.yaml", text)
    words = ("route", "put", "crm", "-f", file, "--set", "ROOT_PATH=/crm")
    missing = await zhiyun(*words)
    assert (missing.status, "crm.yaml:3:" in missing.err, "CRM_LOGIN is not set" in missing.err) == (1, True, True)
    done = await zhiyun.ok(*words, "--json", env={"CRM_LOGIN": "Basic c2VjcmV0"})
    shown = await zhiyun.ok("route", "show", "crm")
    assert json.loads(shown.out)["match"] == {"path": "/crm"}
    assert "c2VjcmV0" not in done.out + shown.out + (await zhiyun.ok("audit", "--json")).out
    again = await zhiyun.ok("route", "put", "crm", "-f", "-", stdin=shown.out)
    assert again.out == f"route crm is at version {done.json['version']}\n", "*** keeps it"
