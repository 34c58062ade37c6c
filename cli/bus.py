"""The data bus: what waits, dead letters, redelivering and discarding them."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

import typer

from cli.terminal import Limit, Terminal, command, moment


def add(group: typer.Typer) -> None:
    for name, function in (("depth", depth), ("dead", dead), ("redeliver", redeliver), ("discard", discard), ("replay", replay)):
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


def discard(terminal: Terminal, letter: Annotated[str, typer.Argument(metavar="ID", help="the dead letter's id 编号")]) -> None:
    """Give a dead letter up for good. 丢弃死信。"""
    answer = terminal.client.ask("POST", f"bus/dead-letters/{quote(letter, safe='')}/discard")
    terminal.result(answer, f"{letter} is discarded; it was {answer['topic']} for {answer['subscription']}")


def replay(
    terminal: Terminal,
    name: Annotated[str, typer.Argument(help="the subscription, such as mirror 订阅名")],
    since: Annotated[datetime, typer.Option(help="from this time on, of this machine's zone 起始时间")],
    until: Annotated[datetime | None, typer.Option(help="before this time; now by default 截止时间")] = None,
    pattern: Annotated[str, typer.Option(help="topics, such as sales.*.upsert 主题")] = "#",
    yes: Annotated[bool, typer.Option("--yes", help="deliver; without it only count 确认执行")] = False,
) -> None:
    """Deliver once more, to one subscription alone, what was published in a time. 按时间重放。"""
    wanted = {"since_ms": _ms(since), "until_ms": None if until is None else _ms(until), "pattern": pattern, "dry_run": not yes}
    told = terminal.client.ask("POST", f"bus/subscriptions/{quote(name, safe='')}/replay", wanted)
    span = f", from {moment(told['first_ms'])} to {moment(told['last_ms'])}" if told["envelopes"] else ""
    amount = f"{told['envelopes']:,} envelopes with {told['records']:,} records{span}"
    terminal.result(told, f"{amount} are delivered again" if yes else f"{amount} would be delivered again; add --yes to do it")


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
