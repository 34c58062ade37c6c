"""Declared resources to look at: list and show; of sources also the connection test. They are changed by `apply`."""

from collections.abc import Callable, Mapping
from typing import Any

import typer

from cli.terminal import Name, Terminal, command, dumped
from core.errors import PlatformError

SECTIONS: Mapping[str, str] = {
    "app": "apps",
    "proxy": "proxies",
    "source": "sources",
    "service": "services",
    "plan": "plans",
    "device": "devices",
    "job": "jobs",
}
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
    "plan": {"PER SECOND": lambda b: b.get("per_s"), "BURST": lambda b: b.get("burst"), "TITLE": lambda b: b.get("title", "")},
}


def add(group: typer.Typer, kind: str) -> None:
    """`list` and `show`, and `check` of a source."""
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
    if kind == "source":
        command(group, "check")(check)


def check(terminal: Terminal, name: Name) -> None:
    """Connect to the source, log in, do one small call. 连接测试。"""
    found = terminal.client.act("POST", "sources", name, "check")
    if found["ok"]:
        terminal.result(found, f"source {name} answers ({found['took_ms']} ms)")
        return
    if terminal.as_json:
        print(dumped(found))
    raise PlatformError(f"source {name}: {found['detail']}", code=found["code"])
