"""Apps and proxies: create with a first key, update by options; the rest is `cli.resources`', their keys `cli.credentials`'."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli import resources
from cli.credentials import say_issued
from cli.terminal import Name, Terminal, command

Plan = Annotated[str | None, typer.Option("--plan", help="its plan 流量套餐")]
NeededPlan = Annotated[str, typer.Option("--plan", help="its plan 流量套餐")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="<service>:read or :write, repeatable 权限")]
Proxy = Annotated[str | None, typer.Option("--proxy", help="the partner that carries it 外部代理")]
Title = Annotated[str | None, typer.Option("--title", help="what people call it 名称")]
Owner = Annotated[str | None, typer.Option("--owner", help="who answers for it 负责人")]
Addresses = Annotated[list[str] | None, typer.Option("--address", help="served only from there (CIDR), repeatable 来源白名单")]


def add(group: typer.Typer, kind: str) -> None:
    """All commands of apps, or of proxies."""
    resources.add(group, kind)
    command(group, "create")(_create_app if kind == "app" else _create_proxy)
    command(group, "update")(_update_app if kind == "app" else _update_proxy)


def _given(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None and value != []}


def _create(terminal: Terminal, section: str, name: str, body: dict[str, Any]) -> None:
    """Made only where there is none yet; then its first key, whose secret is shown this once."""
    path = f"{section}/{quote(name, safe='')}"
    terminal.client.ask("PUT", path, body, headers={"If-None-Match": "*"})
    issued = terminal.client.ask("POST", f"{path}/credentials")
    say_issued(terminal, {"name": name, **issued}, f"{name} created")


def _merge(terminal: Terminal, section: str, name: str, patch: dict[str, Any], done: str) -> None:
    terminal.result(terminal.client.act("PATCH", section, name, body=patch), f"{name} {done}")


def _create_app(
    terminal: Terminal,
    name: Name,
    plan: NeededPlan,
    scope: Scopes = None,
    proxy: Proxy = None,
    title: Title = None,
    owner: Owner = None,
    address: Addresses = None,
) -> None:
    """Register an app and show its AppKey and AppSecret, this once. 注册应用。"""
    body = _given(plan=plan, scopes=scope, proxy=proxy, title=title, owner=owner, addresses=address)
    _create(terminal, "apps", name, body)


def _update_app(
    terminal: Terminal,
    name: Name,
    plan: Plan = None,
    scope: Scopes = None,
    proxy: Proxy = None,
    title: Title = None,
    owner: Owner = None,
    address: Addresses = None,
) -> None:
    """Change what is given, keep the rest. 修改。"""
    patch = _given(plan=plan, scopes=scope, proxy=proxy, title=title, owner=owner, addresses=address)
    _merge(terminal, "apps", name, patch, "updated")


def _create_proxy(terminal: Terminal, name: Name, title: Title = None, owner: Owner = None, address: Addresses = None) -> None:
    """Register a partner proxy and show its key and secret, this once. 注册外部代理。"""
    _create(terminal, "proxies", name, _given(title=title, owner=owner, addresses=address))


def _update_proxy(terminal: Terminal, name: Name, title: Title = None, owner: Owner = None, address: Addresses = None) -> None:
    """Change what is given, keep the rest. 修改。"""
    _merge(terminal, "proxies", name, _given(title=title, owner=owner, addresses=address), "updated")
