"""What failed and waits for somebody: list, acknowledge, resolve."""

from typing import Annotated

import typer

from cli.terminal import Limit, Terminal, command, moment

Incident = Annotated[str, typer.Argument(metavar="ID", help="the incident's id 编号")]
_HEADS = ("ID", "STATE", "KIND", "SUBJECT", "TIMES", "SINCE", "CONTACT", "TOLD", "ESCALATED", "DETAIL")


def add(group: typer.Typer) -> None:
    for name, function in (("list", list_all), ("acknowledge", acknowledge), ("resolve", resolve)):
        command(group, name)(function)


def list_all(
    terminal: Terminal,
    state: Annotated[str | None, typer.Option("--state", help="open, acknowledged or resolved 状态")] = None,
    limit: Limit = 100,
) -> None:
    """What is not resolved, newest first. 列出事件。"""
    found = terminal.client.ask("GET", "incidents", state=state, limit=limit)
    rows = (
        [
            *(each["id"], each["state"], each["kind"], each["subject"], each["count"], moment(each["raised_ms"]), each["contact"]),
            *(moment(each[name] or None) for name in ("told_ms", "escalated_ms")),
            each["detail"],
        ]
        for each in found["items"]
    )
    terminal.table(found, _HEADS, rows, empty="no such incident")


def acknowledge(terminal: Terminal, incident: Incident) -> None:
    """Say that you look after it; it is not escalated. 确认。"""
    terminal.result(terminal.client.ask("POST", f"incidents/{incident}/acknowledge"), f"incident {incident} acknowledged")


def resolve(terminal: Terminal, incident: Incident) -> None:
    """Say that it is over. 解决。"""
    terminal.result(terminal.client.ask("POST", f"incidents/{incident}/resolve"), f"incident {incident} resolved")
