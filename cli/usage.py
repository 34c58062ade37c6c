"""What an app has used."""

from typing import Annotated, Any, Literal

import typer

from cli.terminal import Name, Terminal, command
from core.errors import NotFound

_HEADS = ("FROM (UTC)", "ROUTE", "REQUESTS", "ERRORS", "LIMITED", "BYTES IN", "BYTES OUT")
Since = Annotated[str | None, typer.Option("--from", help="a date or RFC 3339 time 起始时间")]
Until = Annotated[str | None, typer.Option("--to", help="the end, which is not part of it 结束时间")]
By = Annotated[Literal["hour", "day"], typer.Option("--by", help="hour or day 按小时或天")]


def add(app: typer.Typer) -> None:
    command(app, "usage")(usage)


def usage(terminal: Terminal, name: Name, since: Since = None, until: Until = None, by: By = "day") -> None:
    """What an app has used, for each service and route. 应用用量。"""
    window: dict[str, Any] = {"from": since, "to": until}
    try:
        found = terminal.client.ask("GET", "usage", app=name, by=by, **window)
    except NotFound:
        terminal.client.one("apps", name)  # names the nearest
        raise
    rows = (
        [
            _start(each["start"], by),
            each["route"],
            each["requests"],
            each["errors"],
            each["limited"],
            each["bytes_in"],
            each["bytes_out"],
        ]
        for each in found["items"]
    )
    terminal.table(found, _HEADS, rows, empty=f"app {name} has used nothing in this time")


def _start(text: str, by: str) -> str:
    return text[:10] if by == "day" else f"{text[:10]} {text[11:16]}"
