"""The data bus: what waits, dead letters, redelivery."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.terminal import Limit, Terminal, command, moment


def add(group: typer.Typer) -> None:
    for name, function in (("depth", depth), ("dead", dead), ("redeliver", redeliver)):
        command(group, name)(function)


def depth(terminal: Terminal) -> None:
    """Envelopes not yet settled, per subscription. 待处理数量。"""
    found = terminal.client.ask("GET", "bus")
    rows = [*found["depth"].items(), ("(dead letters)", found["dead_letters"])]
    terminal.table(found, ("SUBSCRIPTION", "WAITING"), rows, empty="")


def dead(terminal: Terminal, limit: Limit = 100) -> None:
    """Dead letters with their cause, oldest first. 死信。"""
    found = terminal.client.ask("GET", "bus/dead-letters", limit=limit)
    rows = ([d["id"], d["subscription"], d["topic"], d["attempts"], moment(d["dead_ms"]), d["cause"]] for d in found["items"])
    terminal.table(found, ("ID", "SUBSCRIPTION", "TOPIC", "ATTEMPTS", "SINCE", "CAUSE"), rows, empty="no dead letter")


def redeliver(terminal: Terminal, letter: Annotated[str, typer.Argument(metavar="ID", help="the dead letter's id 编号")]) -> None:
    """Give a dead letter to its subscription again. 重新投递。"""
    answer = terminal.client.ask("POST", f"bus/dead-letters/{quote(letter, safe='')}/redeliver")
    terminal.result(answer, f"{letter} is delivered again")
