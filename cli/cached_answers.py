"""The answers that gateways keep: forgotten on all nodes at once."""

from typing import Annotated

import typer

from cli.terminal import Terminal, command


def add(group: typer.Typer) -> None:
    command(group, "purge")(purge)


def purge(
    terminal: Terminal,
    route: Annotated[str, typer.Argument(metavar="ROUTE", help="a route or service 路由或服务")],
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="only targets that begin so, e.g. /goods/7 只清除此前缀的地址")
    ] = None,
) -> None:
    """Forget the cached answers of a route or service in every worker of every node. 清除缓存的应答。"""
    done = terminal.client.ask("DELETE", "cached-answers", route=route, prefix=prefix)
    what = f"whose target begins with {done['prefix']} " if done["prefix"] else ""
    terminal.result(done, f"the answers of {done['route']} that were kept {what}until now are forgotten")
