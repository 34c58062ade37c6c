"""Who changed what, and which processes run."""

import time
from typing import Annotated

import typer

from cli.terminal import Limit, Terminal, command, moment


def add(app: typer.Typer) -> None:
    command(app, "audit")(audit)


def add_nodes(group: typer.Typer) -> None:
    command(group, "list")(nodes)


def audit(
    terminal: Terminal,
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option("--before", min=1, help="only before this revision 早于此版本")] = None,
) -> None:
    """Every change of what is declared, newest first. 审计日志。"""
    found = terminal.client.ask("GET", "audit", limit=limit, before=before)
    rows = ([e["revision"], moment(e["at_ms"]), e["actor"], e["action"], e["kind"], e["name"]] for e in found["items"])
    terminal.table(found, ("REVISION", "AT", "ACTOR", "ACTION", "KIND", "NAME"), rows, empty="nothing has changed yet")


def nodes(terminal: Terminal) -> None:
    """The processes of the platform and the configuration each runs. 节点与配置版本。"""
    found = terminal.client.ask("GET", "nodes")
    now_ms = time.time() * 1000
    rows = []
    for each in found["items"]:
        report = each["report"]
        state = "live" if each["is_live"] else f"silent for {(now_ms - report['seen_ms']) / 1000:.0f} s"
        revision = f"{report['revision']}{'' if each['is_current'] else ' (behind)'}"
        traffic = [f"{report['requests_per_s']:,.0f}", f"{report['p99_ms']:g}"]
        rows.append([report["node"], report["role"], str(report["pid"]), state, revision, *traffic])
    heads = ("NODE", "ROLE", "PID", "STATE", "REVISION", "REQUESTS/S", "P99 MS")
    terminal.table(found, heads, rows, empty="no process has reported yet")
