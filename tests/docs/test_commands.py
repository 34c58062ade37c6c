"""Every `zhiyun` command that a document shows exists, with its options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main

from cli.app import app
from tools.source_tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_SHOWN = re.compile(r"(?:\./|/opt/zhiyun/|^|`)zhiyun ((?:[a-z]|--)[^`\n#|>]*)", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z-]*")


def shown(page: Path) -> list[list[str]]:
    """The arguments of each command on the page. Prose such as "zhiyun is" does not stand behind a backtick or `./`."""
    texts = (text.partition(" 2>&1")[0].rstrip("\\ )") for text in _SHOWN.findall(page.read_text(encoding="utf-8")))
    return [shlex.split(text.replace("'", "")) for text in texts if text.count('"') % 2 == 0]


def wrong(arguments: list[str]) -> str | None:
    """What the command line does not know of these arguments."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while isinstance(command, typer.core.TyperGroup) and rest and _WORD.fullmatch(rest[0]):
        name = rest.pop(0)
        if name not in command.commands:
            return name
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return next((word for word in rest if word.startswith("-") and word not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    assert {" ".join(arguments): word for arguments in shown(page) if (word := wrong(arguments))} == {}


def test_commands_are_found_on_the_pages() -> None:
    found = {" ".join(arguments[:2]) for page in PAGES for arguments in shown(page)}
    assert {"apply -f", "job quarantine", "bus redeliver", "user password", "up --config"} <= found
    assert wrong(["job", "quarantin"]) == "quarantin"
    assert wrong(["up", "--nonsense"]) == "--nonsense"
