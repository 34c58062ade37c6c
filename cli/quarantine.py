"""Bad rows: list, show, replay (mended or not), discard."""

import base64
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import Limit, Terminal, command, dumped, moment
from core.errors import InvalidInput

Row = Annotated[str, typer.Argument(metavar="ID", help="the row's id 编号")]


def add(group: typer.Typer) -> None:
    command(group, "list", alone=True)(list_rows)
    for name, function in (("show", show), ("replay", replay), ("discard", discard)):
        command(group, name)(function)


def list_rows(
    terminal: Terminal,
    dataset: Annotated[str | None, typer.Option("--dataset", help="<source>.<dataset> 数据集")] = None,
    state: Annotated[str, typer.Option("--state", help="waiting, replayed or discarded 状态")] = "waiting",
    limit: Limit = 100,
) -> None:
    """Rows of one state, oldest first. 列出隔离数据。"""
    found = terminal.client.ask("GET", "quarantine", dataset=dataset, state=state, limit=limit)
    rows = ([r["id"], r["dataset"], r["batch_id"], r["place"], moment(r["at_ms"]), r["reason"]] for r in found["items"])
    heads = ("ID", "DATASET", "BATCH", "PLACE", "SINCE", "REASON")
    terminal.table(found, heads, rows, empty="no such row")


def show(terminal: Terminal, row: Row) -> None:
    """One row with its reason and what came from the source. 查看详情。"""
    found = terminal.client.ask("GET", f"quarantine/{row}")
    terminal.result(found, dumped({key: value for key, value in found.items() if key != "raw_base64"}))


def replay(
    terminal: Terminal,
    row: Row,
    mended: Annotated[Path | None, typer.Option("--file", help="take this file's bytes instead of the row's 修正后的内容")] = None,
) -> None:
    """Convert the row again, usually after its dataset was mended. 重放。"""
    body = None
    if mended is not None:
        try:
            body = {"raw_base64": base64.b64encode(mended.read_bytes()).decode()}
        except OSError as error:
            raise InvalidInput(f"--file {mended}: {error.strerror}") from error
    terminal.result(terminal.client.ask("POST", f"quarantine/{row}/replay", body), f"{row} replayed")


def discard(terminal: Terminal, row: Row) -> None:
    """Settle the row for good; it stays readable. 丢弃。"""
    terminal.result(terminal.client.ask("POST", f"quarantine/{row}/discard"), f"{row} discarded")
