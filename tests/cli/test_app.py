"""The whole tree of commands: each has its help and `--json`, and none of it is slow to load."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from cli.app import app
from tests.cli.conftest import ROOT, CommandLine


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _leaves(child, (*path, name))


def test_every_command_explains_itself_and_speaks_json() -> None:
    leaves = dict(_leaves(typer.main.get_command(app)))
    assert {("apply",), ("app", "rotate"), ("job", "quarantine", "replay"), ("bus", "redeliver")} <= set(leaves)
    for path, command in leaves.items():
        assert command.help, path
        assert any("一" <= letter <= "鿿" for letter in command.help), f"{path} has no Chinese gloss"
        options = {name for parameter in command.params for name in parameter.opts}
        if path != ("up",):  # it never ends with a result
            assert {"--json", "--server", "--data-dir"} <= options, path


async def test_help_loads_nothing_heavy() -> None:
    code = "import sys, cli.app; print(sorted({'httpx', 'rich', 'fastapi', 'nicegui', 'adapters', 'server'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"


async def test_help_of_a_group(alone: CommandLine) -> None:
    ended = await alone.ok("app", "--help")
    assert "create" in ended.out
    assert "rotate" in ended.out
