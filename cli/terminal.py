"""What every command has: the connection, and output for a person or, with `--json`, for a program. Errors end in one place."""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import PlatformError

if TYPE_CHECKING:
    from cli.client import Client

_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "server": (
        Annotated[str | None, typer.Option("--server", envvar="ZHIYUN_SERVER", help="management API's URL 管理接口地址")],
        None,
    ),
    "data_dir": (
        Annotated[Path, typer.Option("--data-dir", envvar="ZHIYUN_DATA_DIR", help="folder of the local node 本机节点数据目录")],
        Path("data"),
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="machine-readable output 以 JSON 输出")], False),
}
_WIDE = 220


class Terminal:
    """Handed to every command."""

    def __init__(self, server: str | None, data_dir: Path, as_json: bool) -> None:
        self.server = server
        self.data_dir = data_dir
        self.as_json = as_json
        self._client: Client | None = None

    @property
    def client(self) -> "Client":
        """Connected when it is first used: help and usage errors import no HTTP."""
        if self._client is None:
            from cli import connection
            from cli.client import Client

            self._client = Client(connection.find(self.server, self.data_dir))
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def say(self, text: str) -> None:
        """One line for a person; with `--json` it goes to standard error."""
        print(text, file=sys.stderr if self.as_json else sys.stdout)

    def result(self, value: Any, text: str) -> None:
        """The value for a program, or the text for a person."""
        print(dumped(value) if self.as_json else text)

    def table(self, value: Any, heads: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """The value for a program, or a table for a person; `empty` is said where it has no row."""
        if self.as_json:
            print(dumped(value))
            return
        cells = [[_cell(each) for each in row] for row in rows]
        if not cells:
            print(empty)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for head in heads:
            shown.add_column(head, overflow="fold")
        for row in cells:
            shown.add_row(*(Text(cell) for cell in row))
        # A file or pipe gets whole lines, whatever the size of a window.
        console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
        console.print(shown)


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _cell(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def moment(epoch_ms: int | None) -> str | None:
    """Local time to the second."""
    return f"{datetime.fromtimestamp(epoch_ms / 1000).astimezone():%Y-%m-%d %H:%M:%S}" if epoch_ms else None


Command = Callable[..., None]


def command(group: typer.Typer, name: str, *, hidden: bool = False, alone: bool = False) -> Callable[[Command], Command]:
    """Register a function as a command: its first parameter is the Terminal, made from options every command has.

    `alone`: also what the group does when no command is named. Exit status: 0 done, 1 refused or failed with its reason on
    standard error, 2 usage.
    """

    def register(function: Command) -> Command:
        first, *others = inspect.signature(function).parameters.values()
        added = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for key, (kind, default) in _OPTIONS.items()
        ]

        @functools.wraps(function)
        def run(**values: Any) -> None:
            terminal = Terminal(**{key: values.pop(key) for key in _OPTIONS})
            try:
                function(**{first.name: terminal}, **values)
            except PlatformError as error:
                print(f"zhiyun: {error.detail}", file=sys.stderr)
                raise typer.Exit(1) from None
            except BrokenPipeError:  # the reader, say `head`, has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            finally:
                terminal.close()

        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
        run.__signature__ = inspect.Signature([*keyword, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keyword, *added)}
        group.command(name, hidden=hidden)(run)
        if alone:
            _without_command(group, run)
        return function

    return register


def _without_command(group: typer.Typer, run: Command) -> None:
    @functools.wraps(run)
    def unless_named(context: typer.Context, **values: Any) -> None:
        if context.invoked_subcommand is None:
            run(**values)

    own = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    unless_named.__signature__ = inspect.Signature([own, *inspect.signature(run).parameters.values()])  # type: ignore[attr-defined]
    unless_named.__annotations__ = {"context": typer.Context, **run.__annotations__}
    group.callback(invoke_without_command=True, help=group.info.help)(unless_named)
    group.info.no_args_is_help = False


def group(help_text: str) -> typer.Typer:
    """A group of commands; alone it shows its help."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )


Name = Annotated[str, typer.Argument(metavar="NAME", help="its name 名称")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="at most so many 最多条数")]
