"""Transactions over several sources: list, show, and what a person decides about those that are stuck."""

from typing import Annotated

import typer

from cli.terminal import Limit, Terminal, command, dumped, moment

Transaction = Annotated[str, typer.Argument(metavar="ID", help="the transaction's id 编号")]
_HEADS = ("ID", "STATE", "APP", "BEGUN", "STEPS", "REASON")


def add(group: typer.Typer) -> None:
    for name, function in (("list", list_all), ("show", show), ("retry", retry), ("leave", leave)):
        command(group, name)(function)


def list_all(
    terminal: Terminal,
    state: Annotated[str | None, typer.Option("--state", help="open, undoing, done, refused or stuck 状态")] = None,
    limit: Limit = 100,
) -> None:
    """Transactions under way and of the last day, newest first. 列出事务。"""
    found = terminal.client.ask("GET", "transactions", state=state, limit=limit)
    rows = (
        [each["id"], each["state"], each["app"], moment(each["at_ms"]), len(each["steps"]), each["reason"]]
        for each in found["items"]
    )
    terminal.table(found, _HEADS, rows, empty="no such transaction")


def show(terminal: Terminal, transaction: Transaction) -> None:
    """One transaction with its steps. 查看事务。"""
    found = terminal.client.ask("GET", f"transactions/{transaction}")
    terminal.result(found, dumped(found))


def retry(terminal: Terminal, transaction: Transaction) -> None:
    """Try once more to take back a stuck one, after you looked after its record. 重试补偿。"""
    terminal.result(terminal.client.ask("POST", f"transactions/{transaction}/retry"), f"transaction {transaction} is tried again")


def leave(terminal: Terminal, transaction: Transaction) -> None:
    """Leave the records of a stuck one as they are. 保持现状。"""
    terminal.result(terminal.client.ask("POST", f"transactions/{transaction}/leave"), f"transaction {transaction} is left as it is")
