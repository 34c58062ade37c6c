"""Declared resources of every kind: list, show, put, disable, enable, delete; of sources also the connection test.

Whole platforms are `cli.documents`' subject, apps and proxies have more in `cli.apps`.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.documents import Values, installed_adapters, variables_of
from cli.terminal import Name, Terminal, command, dumped
from core.errors import ConfigError, PlatformError

SECTIONS: Mapping[str, str] = {
    "app": "apps",
    "proxy": "proxies",
    "source": "sources",
    "service": "services",
    "plan": "plans",
    "device": "devices",
    "job": "jobs",
    "upstream": "upstreams",
    "route": "routes",
    "issuer": "issuers",
    "list": "lists",
    "contact": "contacts",
    "webhook": "webhooks",
}
SWITCHED = frozenset({"app", "proxy", "service", "device", "job", "route", "issuer", "list", "contact", "webhook"})
"""Kinds that can be disabled. Written here, since the model takes too long to import for a help text."""

_ALL = {"app": " together with its keys", "proxy": " together with its keys"}
_Body = Annotated[
    Path, typer.Option("-f", "--file", help="its body in YAML or JSON, as `show` prints it; - is standard input 资源正文")
]
_New = Annotated[bool, typer.Option("--new", help="refuse where there is one of that name 仅新建")]
_Column = Callable[[dict[str, Any]], object]
_COLUMNS: Mapping[str, Mapping[str, _Column]] = {
    "app": {
        "PLAN": lambda b: b.get("plan"),
        "PROXY": lambda b: b.get("proxy"),
        "ENABLED": lambda b: b.get("enabled", True),
        "SCOPES": lambda b: b.get("scopes", []),
        "TITLE": lambda b: b.get("title", ""),
    },
    "proxy": {
        "ENABLED": lambda b: b.get("enabled", True),
        "ADDRESSES": lambda b: b.get("addresses", []),
        "TITLE": lambda b: b.get("title", ""),
    },
    "source": {
        "ADAPTER": lambda b: b.get("adapter"),
        "DATASETS": lambda b: list(b.get("datasets", {})),
        "TITLE": lambda b: b.get("title", ""),
    },
    "service": {
        "KIND": lambda b: b.get("kind"),
        "FROM": lambda b: b.get("dataset") or f"{b['call']['source']} {b['call']['operation']}",
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "device": {
        "APP": lambda b: b.get("app"),
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "upstream": {
        "ENDPOINTS": lambda b: [each["url"] for each in b.get("endpoints", [])] or _discovered(b),
        "BALANCE": lambda b: b.get("balance", "round_robin"),
        "TITLE": lambda b: b.get("title", ""),
    },
    "route": {
        "METHODS": lambda b: b["match"].get("methods") or "any",
        "HOSTS": lambda b: b["match"].get("hosts") or "any",
        "PATH": lambda b: b["match"]["path"],
        "UPSTREAM": lambda b: [b["upstream"], *(each["upstream"] for each in b.get("splits", []))],
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "issuer": {
        "ISSUER": lambda b: b["issuer"],
        "AUDIENCE": lambda b: b["audience"],
        "KEYS": lambda b: b.get("jwks_url") or f"{len(b.get('keys', []))} declared",
        "ENABLED": lambda b: b.get("enabled", True),
    },
    "list": {
        "ACTION": lambda b: b.get("action", "deny"),
        "NAMES": lambda b: [f"{len(b[what])} {what}" for what in ("addresses", "apps", "devices", "users") if b.get(what)],
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "contact": {
        "WAYS": lambda b: [way for way in ("webhook", "wecom", "mail") if b.get(way)],
        "ESCALATES TO": lambda b: b.get("escalate_to") or "",
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "webhook": {
        "SERVICES": lambda b: b["services"],
        "EVENTS": lambda b: b.get("events") or "all",
        "APP": lambda b: b["app"],
        "URL": lambda b: b["url"],
        "ENABLED": lambda b: b.get("enabled", True),
        "TITLE": lambda b: b.get("title", ""),
    },
    "plan": {"PER SECOND": lambda b: b.get("per_s"), "BURST": lambda b: b.get("burst"), "TITLE": lambda b: b.get("title", "")},
}


def _discovered(body: dict[str, Any]) -> str:
    found = body.get("discovery", {})
    return str(found.get("dns") or found.get("url") or "")


def add(group: typer.Typer, kind: str) -> None:
    """All commands of a kind that has no more than these."""
    _add_reading(group, kind)
    add_changes(group, kind)
    if kind == "source":
        command(group, "check")(check)
        command(group, "detect")(detect)


def _add_reading(group: typer.Typer, kind: str) -> None:
    section = SECTIONS[kind]
    columns = _COLUMNS[kind]

    def list_all(terminal: Terminal) -> None:
        """List all by name. 列出全部。"""
        found = terminal.client.all(section)
        rows = ([item["name"], *(column(item["body"]) for column in columns.values())] for item in found)
        terminal.table({"items": found}, ["NAME", *columns], rows, empty=f"no {kind} is declared")

    def show(terminal: Terminal, name: Name) -> None:
        """Show one with all its fields; secrets are ***. 查看详情。"""
        found = terminal.client.one(section, name)
        terminal.result(found, dumped(found["body"]))

    command(group, "list")(list_all)
    command(group, "show")(show)


def add_changes(group: typer.Typer, kind: str) -> None:
    """`put` and `delete`, and `disable` and `enable` where there is such a switch."""
    section = SECTIONS[kind]

    def put(terminal: Terminal, name: Name, file: _Body, new: _New = False, values: Values = None) -> None:
        """Make or replace one; a secret that is given as *** stays. 创建或替换。"""
        body = _read(file, kind, name, values)
        headers = {"If-None-Match": "*"} if new else {}
        found = terminal.client.ask("PUT", f"{section}/{quote(name, safe='')}", body, headers=headers)
        terminal.result(found, f"{kind} {name} is at version {found['version']}")

    def disable(terminal: Terminal, name: Name) -> None:
        """Switch it off; it stays declared. 停用。"""
        found = terminal.client.act("PATCH", section, name, body={"enabled": False})
        terminal.result(found, f"{kind} {name} switched off")

    def enable(terminal: Terminal, name: Name) -> None:
        """Switch it on again. 启用。"""
        found = terminal.client.act("PATCH", section, name, body={"enabled": True})
        terminal.result(found, f"{kind} {name} switched on")

    def delete(terminal: Terminal, name: Name) -> None:
        terminal.client.act("DELETE", section, name)
        terminal.result({"name": name, "deleted": True}, f"{kind} {name} deleted")

    delete.__doc__ = f"Delete it{_ALL.get(kind, '')}; refused while others need it. 删除。"
    command(group, "put")(put)
    if kind in SWITCHED:
        command(group, "disable")(disable)
        command(group, "enable")(enable)
    command(group, "delete")(delete)


def _read(file: Path, kind: str, name: str, values: list[str] | None) -> dict[str, Any]:
    """Checked here, so that what is wrong is told with its file and line; what it refers to is checked by the registry."""
    from config.load import load_resource
    from config.yaml_text import MAX_BYTES

    is_stdin = str(file) == "-"
    try:
        with sys.stdin.buffer if is_stdin else file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    shown, folder = ("standard input", Path()) if is_stdin else (str(file), file.parent)
    return load_resource(text, shown, folder, kind, name, variables_of(values), installed_adapters())


def check(terminal: Terminal, name: Name) -> None:
    """Connect to the source, log in, do one small call. 连接测试。"""
    found = terminal.client.act("POST", "sources", name, "check")
    if found["ok"]:
        terminal.result(found, f"source {name} answers ({found['took_ms']} ms)")
        return
    if terminal.as_json:
        print(dumped(found))
    raise PlatformError(f"source {name}: {found['detail']}", code=found["code"])


def detect(terminal: Terminal, name: Name, dataset: Annotated[str, typer.Argument(help="one of its datasets 数据集")]) -> None:
    """Look at a dataset's first CSV file and propose its format, to be declared. 识别文件格式。"""
    found = terminal.client.act("POST", "sources", name, f"datasets/{quote(dataset, safe='')}/detect")
    form = {key: found[key] for key in ("encoding", "delimiter", "quote", "header")}
    lines = [
        f"format: {json.dumps({'type': 'csv', **form}, ensure_ascii=False)}",
        f"columns 列: {', '.join(found['columns'])}",
        *(" | ".join(row) for row in found["rows"]),
        *([] if found["sure"] else ["another encoding fits as well: look whether the text above is right 请核对编码"]),
    ]
    terminal.result(found, "\n".join(lines))
